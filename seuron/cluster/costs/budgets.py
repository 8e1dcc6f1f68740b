"""How far a budget looks ahead: what will be spent although a hold begins only at the next step.

A hold that began when a budget is spent would be too late: until the step that sees it tasks go on beginning, and
what has begun is finished. So each step asks what there would be to pay if the hold began at the next one:
until then all that may run costs its price, and then what finishing the tasks takes that run by then.

The law of a run's own budget: where nothing is begun from the first step on at which that `would_pass` it, what the
run has cost in the end passes it by no more than the tasks that ran took beyond their expected length. For
that each of them is given its whole length, because it may have begun just before the next step, and each slot that
the run may have by then counts. As a rule it ends a little under its budget.

The cluster's budget takes what runs to be half done, or as far as it is reported, which is right on average.

Times are in seconds, money in dollars, prices in dollars an hour.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from seuron.cluster.cluster_state import GroupState
from seuron.cluster.costs.ledger import SECONDS_PER_HOUR


@dataclass(frozen=True)
class WorkAhead:
    """What may run until the next step: what all of it costs, and what finishing its tasks takes after that."""

    dollars_an_hour: float = 0.0
    dollars_to_finish: float = 0.0

    @staticmethod
    def of(count: int, price: float, task_seconds: float) -> WorkAhead:
        """So many slots or machines at this price, each with a task of this length at most to finish."""
        return WorkAhead(count * price, count * price * task_seconds / SECONDS_PER_HOUR)

    @staticmethod
    def together(parts: Iterable[WorkAhead]) -> WorkAhead:
        """All at the same time."""
        parts = tuple(parts)
        return WorkAhead(sum(part.dollars_an_hour for part in parts), sum(part.dollars_to_finish for part in parts))

    @staticmethod
    def any_of(parts: Iterable[WorkAhead]) -> WorkAhead:
        """One after the other, in the same slots; which of them it will be at the next step is not known."""
        parts = tuple(parts)
        hourly = max((part.dollars_an_hour for part in parts), default=0.0)
        return WorkAhead(hourly, max((part.dollars_to_finish for part in parts), default=0.0))


def dollars_ahead(work: WorkAhead, step_seconds: float) -> float:
    """What is still spent where a hold begins at the next step, `step_seconds` from now."""
    return work.dollars_an_hour * step_seconds / SECONDS_PER_HOUR + work.dollars_to_finish


def would_pass(budget: float, spent: float, ahead: float) -> bool:
    """Whether it is time to hold: nothing is left, or a hold that began a step later would spend more than there is."""
    return spent >= budget or spent + ahead > budget


@dataclass(frozen=True)
class TierAhead:
    """Tasks of a run that run or may before the next step: one tier's, on one queue.

    `seconds` is how long one takes, measured or planned; None where nothing is known of it.
    """

    queue: str
    tasks: int
    seconds: float | None = None


def may_begin(tiers: Iterable[TierAhead], step_seconds: float) -> tuple[TierAhead, ...]:
    """Which of the tiers behind the one that runs, in their order, may begin before the next step.

    Each waits for the one before it, which takes a task's length at least. The first may begin at any moment.
    """
    found, passed = [], 0.0
    for tier in tiers:
        if tier.tasks and passed < step_seconds:
            found.append(tier)
            passed += tier.seconds or 0.0
    return tuple(found)


def work_of_run(tiers: Iterable[TierAhead], groups: Iterable[GroupState], assumed_seconds: float) -> WorkAhead:
    """What may run of a run until the next step: in all slots of a queue, if it has as many tasks.

    `tiers` come one after the other; `groups` are to have their targets as they are after this step. A slot has the
    price of the dearest machine that is there or asked for; where there is none, one of the cheapest counts.
    """
    states, parts = tuple(groups), []
    for tier in tiers:
        sizes = {s.group: max(s.target, len(s.instances)) for s in states if s.group.queue == tier.queue}
        slots = max(1, sum(size * group.slots for group, size in sizes.items()))
        cheapest = min((group.slot_price for group in sizes if group.max_size), default=0.0)
        price = max((group.slot_price for group, size in sizes.items() if size), default=cheapest)
        parts.append(WorkAhead.of(min(tier.tasks, slots), price, tier.seconds or assumed_seconds))
    return WorkAhead.any_of(parts)
