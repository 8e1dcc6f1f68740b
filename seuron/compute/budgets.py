"""How far a budget looks ahead: what will be spent although a hold begins only at the next look.

A hold that began when a budget is spent would be too late: until the look that sees it tasks go on beginning, and
what has begun is finished. So at each look is asked what there would be to pay if the hold began at the next one:
until then all that may be at work costs its price, and then what finishing the tasks takes that are at work by then.

The law of a run's own budget: where nothing is begun from the first look on at which that `would_pass` it, what the
run has cost in the end passes it by no more than the tasks that were at work took beyond their expected length. For
that each of them is given its whole length, because it may have begun just before the next look, and each slot that
the run may have by then counts. As a rule it ends a little under its budget.

The cluster's budget takes what is at work to be half done, or as far as it is reported, which is right on average.

Times are in seconds, money in dollars, prices in dollars an hour.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from seuron.compute.situation import GroupLook

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class AtWork:
    """What may be at work until the next look: what all of it costs, and what finishing its tasks takes after that."""

    dollars_an_hour: float = 0.0
    dollars_to_finish: float = 0.0

    @staticmethod
    def of(count: int, price: float, task_seconds: float) -> AtWork:
        """So many slots or machines at this price, each with a task of this length at most to finish."""
        return AtWork(count * price, count * price * task_seconds / SECONDS_PER_HOUR)

    def beside(self, other: AtWork) -> AtWork:
        """Both at the same time."""
        dollars_to_finish = self.dollars_to_finish + other.dollars_to_finish
        return AtWork(self.dollars_an_hour + other.dollars_an_hour, dollars_to_finish)

    def before(self, other: AtWork) -> AtWork:
        """One after the other, in the same slots; which of them it will be at the next look is not known."""
        dollars_to_finish = max(self.dollars_to_finish, other.dollars_to_finish)
        return AtWork(max(self.dollars_an_hour, other.dollars_an_hour), dollars_to_finish)


def dollars_ahead(work: AtWork, look_seconds: float) -> float:
    """What is still spent where a hold begins at the next look, `look_seconds` from now."""
    return work.dollars_an_hour * look_seconds / SECONDS_PER_HOUR + work.dollars_to_finish


def would_pass(budget: float, spent: float, ahead: float) -> bool:
    """Whether it is time to hold: nothing is left, or a hold that began a look later would spend more than there is."""
    return spent >= budget or spent + ahead > budget


@dataclass(frozen=True)
class TierAhead:
    """Tasks of a run that are at work or may be before the next look: one tier's, on one queue.

    `seconds` is how long one takes, measured or planned; None where nothing is known of it.
    """

    queue: str
    tasks: int
    seconds: float | None = None


def may_begin(tiers: Iterable[TierAhead], look_seconds: float) -> tuple[TierAhead, ...]:
    """Which of the tiers behind the one that is at work, in their order, may begin before the next look.

    Each waits for the one before it, which takes a task's length at least. The first may begin at any moment.
    """
    found, passed = [], 0.0
    for tier in tiers:
        if tier.tasks and passed < look_seconds:
            found.append(tier)
            passed += tier.seconds or 0.0
    return tuple(found)


def run_at_work(tiers: Iterable[TierAhead], groups: Iterable[GroupLook], assumed_seconds: float) -> AtWork:
    """What a run may have at work until the next look: in all slots of a queue, if it has as many tasks.

    `tiers` come one after the other; `groups` are to have their targets as they are after this look. A slot has the
    price of the dearest machine that is there or asked for; where there is none, one of the cheapest counts.
    """
    looks, work = tuple(groups), AtWork()
    for tier in tiers:
        slots, price = _slots([look for look in looks if look.group.queue == tier.queue])
        work = work.before(AtWork.of(min(tier.tasks, slots), price, tier.seconds or assumed_seconds))
    return work


def _slots(looks: list[GroupLook]) -> tuple[int, float]:
    """How many slots a queue has or will, one at least, and what one costs in dollars an hour."""
    sizes = {look.group: max(look.target, len(look.instances)) for look in looks}
    slots = sum(size * group.slots for group, size in sizes.items())
    prices = [group.price / group.slots for group, size in sizes.items() if size]
    cheapest = min((group.price / group.slots for group in sizes if group.max_size), default=0.0)
    return max(1, slots), max(prices, default=cheapest)
