"""Notices of runs that wait, for a budget or for the person who paused them, and of runs that go on."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from seuron.client.naming import short_name
from seuron.errors import SeuronError
from seuron.notifications.notices import Cause, Notice
from seuron.notifications.settings import FILE_VARIABLE
from seuron.notifications.telling import tell
from seuron.storage import cloud_path

if TYPE_CHECKING:
    from seuron.client import RunHandle
    from seuron.compute.run_costs import ActiveRun, RunCosts
    from seuron.engine.states import Stop

log = logging.getLogger(__name__)


def tell_hold(run: ActiveRun, costs: RunCosts) -> None:
    """Tell that a budget holds a run, or that it goes on; whoever calls it sees to it that each is told once."""
    _tell(hold_notice(run, costs))


def tell_pause(handle: RunHandle, stop: Stop) -> None:
    """Tell that a person has paused a run."""
    words = f"{stop.sentence}. What was at work is done again, what is finished is kept"
    following = f"it waits until somebody gives `continue {handle.name}`"
    links = {"Airflow": handle.url}
    _tell(Notice("paused", handle.name, handle.output, words, next=following, links=links, start=stop.run_id))


def tell_continued(handle: RunHandle, by: str) -> None:
    """Tell that a person has started a run again, which goes on where it was; `handle` is that of the new start."""
    links = {"Airflow": handle.url}
    _tell(Notice("continued", handle.name, handle.output, f"continued by {by}", links=links, start=handle.id))


def hold_notice(run: ActiveRun, costs: RunCosts) -> Notice:
    """What there is to tell of a run and the budgets that it is under."""
    name, output = short_name(run.output, run.id), cloud_path(run.output)
    links = {"Airflow": run.page} if run.page else {}
    if not costs.hold:
        words = f"the budget was raised: {_spent(costs)}"
        return Notice("continued", name, output, words, links=links, start=_start(run, costs))
    whose = "the run's budget" if costs.hold == "run" else "the cluster's budget"
    words = "what runs of it finishes, the rest waits, and nothing is lost"
    cause = Cause(whose, costs.cause)
    return Notice("held", name, output, words, (cause,), costs.advice, links, start=_start(run, costs))


def _start(run: ActiveRun, costs: RunCosts) -> str:
    """A hold under another budget is another one, and is not folded with those before."""
    return f"{run.id} {costs.run_budget} {costs.budget}"


def _spent(costs: RunCosts) -> str:
    own = costs.told == "run"
    spent, budget = (costs.dollars, costs.run_budget) if own else (costs.cluster_dollars, costs.budget)
    most = f" of ${budget:.2f}" if budget is not None else ", and there is no limit any more"
    return f"${spent:.2f}{most} {'for the run' if own else 'for all runs of the cluster'}"


def _tell(notice: Notice) -> None:
    """Nothing where nobody is to be told. That nobody could be told is no fault of who calls: it is logged."""
    if not os.environ.get(FILE_VARIABLE):
        return
    try:
        tell(notice)
    except SeuronError as error:
        log.warning("Nobody was told of %s: %s", notice.run, error)
