"""Notices of runs that wait, for a budget or for the person who paused them, and of runs that continue."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from seuron.client.run_names import short_name
from seuron.errors import SeuronError
from seuron.notifications.dispatch import notify
from seuron.notifications.notices import Cause, Notice
from seuron.notifications.settings import FILE_VARIABLE
from seuron.storage import cloud_path

if TYPE_CHECKING:
    from seuron.client import RunHandle
    from seuron.cluster.costs.run_costs import ActiveRun, RunCosts
    from seuron.engine.states import Stop

log = logging.getLogger(__name__)


def notify_hold(run: ActiveRun, costs: RunCosts) -> None:
    """Notify that a budget holds a run, or that it continues; the caller makes sure that each is sent once."""
    _notify(hold_notice(run, costs))


def notify_pause(handle: RunHandle, stop: Stop) -> None:
    """Notify that a person has paused a run."""
    words = f"{stop.sentence}. Tasks that were running are done again, what is finished is kept"
    following = f"it waits until somebody gives `continue {handle.name}`"
    links = {"Airflow": handle.url}
    _notify(Notice("paused", handle.name, handle.output, words, next=following, links=links, start=stop.run_id))


def notify_continued(handle: RunHandle, by: str) -> None:
    """Notify that a person has resumed a run; `handle` is that of the new start."""
    links = {"Airflow": handle.url}
    _notify(Notice("continued", handle.name, handle.output, f"continued by {by}", links=links, start=handle.id))


def hold_notice(run: ActiveRun, costs: RunCosts) -> Notice:
    """The notice of a run and the budgets that it is under."""
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
    """A hold under another budget is another one, and no repeat of those before."""
    return f"{run.id} {costs.run_budget} {costs.budget}"


def _spent(costs: RunCosts) -> str:
    own = costs.notified == "run"
    spent, budget = (costs.dollars, costs.run_budget) if own else (costs.cluster_dollars, costs.budget)
    most = f" of ${budget:.2f}" if budget is not None else ", and there is no limit any more"
    return f"${spent:.2f}{most} {'for the run' if own else 'for all runs of the cluster'}"


def _notify(notice: Notice) -> None:
    """Nothing where no recipients are configured. A failure to notify is no fault of the caller: it is logged."""
    if not os.environ.get(FILE_VARIABLE):
        return
    try:
        notify(notice)
    except SeuronError as error:
        log.warning("Nobody was notified of %s: %s", notice.run, error)
