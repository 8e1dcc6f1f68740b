"""What instances cost, which run they worked for, and what a run will cost.

Pure arithmetic, in dollars, instance-hours and seconds. A *look* says how many instances each group had
at a time, which holds until the next look, and how long tasks of each run had slots of each queue since the
look before. Where that is not known, the tasks that were at work then are taken to have been all the time.

Who pays: the slots of a queue's instances are shared out by the time that tasks had them. A task has
one slot, at the mean price of the queue's slots; with more tasks than slots, which only happens between
two counts, each has an equal share. Slots without a task are `overhead`: booting, waiting and draining.
So the sum over runs plus the overhead is the sum over groups, which is what the provider asks for.
Start-up is not charged to a run, because it may serve others; a report shows both figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydantic import TypeAdapter

from seuron.compute.demand import slots_to_grow_to
from seuron.compute.groups import Group
from seuron.compute.settings import PolicySettings
from seuron.compute.situation import QueueDepth
from seuron.engine.plan import Plan
from seuron.engine.queues import Tier

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class MoneyLook:
    """Instances by group that were paid for at a time, and tasks at work by run and by queue.

    `busy` are the seconds that tasks of a run had slots of a queue since the look before, all of them together; None
    where nobody could say.
    """

    time: float
    instances: Mapping[str, int]
    running: Mapping[str, Mapping[str, int]]
    busy: Mapping[str, Mapping[str, float]] | None = None


@dataclass(frozen=True)
class Ledger:
    """What was spent so far. `hours` are instance-hours by group, the others dollars; `last` the newest look."""

    hours: Mapping[str, float] = field(default_factory=dict)
    groups: Mapping[str, float] = field(default_factory=dict)
    runs: Mapping[str, float] = field(default_factory=dict)
    overhead: float = 0.0
    last: MoneyLook | None = None

    @property
    def dollars(self) -> float:
        return math.fsum(self.groups.values())

    def after(self, look: MoneyLook, groups: Sequence[Group]) -> Ledger:
        """The ledger once `look` is known. What the last look had is paid for until now; time never runs back.

        A group that is not in `groups` has no price and is left out.
        """
        if self.last is None:
            return replace(self, last=look)
        hours = max(0.0, look.time - self.last.time) / SECONDS_PER_HOUR
        ledger = self
        for queue in sorted({group.queue for group in groups}):
            served = [group for group in groups if group.queue == queue]
            ledger = ledger._paid(self.last, served, hours, _slot_hours(self.last, look, queue, hours))
        return replace(ledger, last=look)

    def _paid(self, look: MoneyLook, groups: Sequence[Group], hours: float, busy: Mapping[str, float]) -> Ledger:
        counts = {group.name: look.instances.get(group.name, 0) for group in groups}
        dollars = {group.name: counts[group.name] * group.price * hours for group in groups}
        total = math.fsum(dollars.values())
        slot_hours = max(sum(counts[group.name] * group.slots for group in groups) * hours, math.fsum(busy.values()))
        shares = {run: total * (taken / slot_hours) for run, taken in busy.items()} if total else {}
        return Ledger(
            hours=_sum(self.hours, {name: count * hours for name, count in counts.items() if count}),
            groups=_sum(self.groups, {name: amount for name, amount in dollars.items() if amount}),
            runs=_sum(self.runs, shares),
            overhead=self.overhead + total - math.fsum(shares.values()),
            last=look,
        )

    def merged(self, other: Ledger) -> Ledger:
        """Both together, of two clusters or of two spans of time; the newest look goes on."""
        looks = [look for look in (self.last, other.last) if look is not None]
        return Ledger(
            hours=_sum(self.hours, other.hours),
            groups=_sum(self.groups, other.groups),
            runs=_sum(self.runs, other.runs),
            overhead=self.overhead + other.overhead,
            last=max(looks, key=lambda look: look.time) if looks else None,
        )

    def to_json(self) -> str:
        return _LEDGER.dump_json(self).decode()

    @staticmethod
    def from_json(text: str) -> Ledger:
        """Raises ValueError for a text that `to_json` did not write."""
        return _LEDGER.validate_json(text)


_LEDGER = TypeAdapter(Ledger)


def _slot_hours(before: MoneyLook, now: MoneyLook, queue: str, hours: float) -> dict[str, float]:
    """How long tasks of each run had slots of a queue between two looks, `hours` apart."""
    if now.busy is not None:
        found = {run: queues.get(queue, 0.0) / SECONDS_PER_HOUR for run, queues in now.busy.items()}
    else:
        found = {run: queues.get(queue, 0) * hours for run, queues in before.running.items()}
    return {run: taken for run, taken in found.items() if taken > 0}


def _sum(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    return {name: a.get(name, 0.0) + b.get(name, 0.0) for name in sorted({*a, *b})}


@dataclass(frozen=True)
class Spread:
    """A figure that is not known: at least, probably, at most."""

    low: float
    likely: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """What a run will probably cost and how long it takes; `unserved` are queues that no group serves."""

    dollars: Spread
    hours: Spread
    unserved: tuple[str, ...] = ()


@dataclass(frozen=True)
class TierWork:
    """The tasks of one tier of a plan: their queue, how many, their seconds together, and the longest."""

    queue: str
    tasks: int
    seconds: float
    longest: float


def tier_works(plan: Plan, queues: Mapping[Tier, str]) -> list[TierWork]:
    """The tiers of a plan, in order, as the estimate wants them; `queues` is what `planning.queues.assign` says."""
    return [
        TierWork(
            queues[tasks[0].stage, tasks[0].tier],
            len(tasks),
            sum(task.seconds for task in tasks),
            max(task.seconds for task in tasks),
        )
        for tasks in plan.tiers()
    ]


@dataclass(frozen=True)
class _Case:
    """How well a run goes: how long tasks take against their plan, what lost and waiting time adds to them.

    `boots` says that instances boot and wait before they are removed, `worst` that only the dearest are had
    and that one task hangs until it is called stuck.
    """

    rate: float
    overhead: float
    boots: bool
    worst: bool


#: Plans are of measured rates, but tissue and machines differ. The likely case is fitted to the simulator,
#: the others hold what it gave for five seeds (docs/scaling-policy.md).
LOW = _Case(0.7, 1.0, boots=False, worst=False)
LIKELY = _Case(1.0, 1.15, boots=True, worst=False)
HIGH = _Case(1.5, 1.6, boots=True, worst=True)


def estimate(tiers: Sequence[TierWork], groups: Sequence[Group], settings: PolicySettings) -> Estimate:
    """Dollars and hours of a run, from the planned seconds of its tasks, tier by tier.

    Low takes fast tasks on the cheapest groups without any waiting, high slow ones on the dearest. No tier
    is done before its longest task.
    """
    served = {tier.queue: _cheapest_first(tier.queue, groups) for tier in tiers}
    unserved = tuple(sorted(queue for queue, found in served.items() if not found))
    known = [tier for tier in tiers if served[tier.queue] and tier.tasks]
    sums = [_estimate(known, served, settings, case) for case in (LOW, LIKELY, HIGH)]
    dollars, hours = zip(*sums, strict=True)
    return Estimate(Spread(*dollars), Spread(*hours), unserved)


def _estimate(
    tiers: Sequence[TierWork], served: Mapping[str, Sequence[Group]], settings: PolicySettings, case: _Case
) -> tuple[float, float]:
    dollars = 0.0
    hours = settings.stuck_seconds / SECONDS_PER_HOUR if case.worst and tiers else 0.0
    queue, had = "", 0
    for tier in tiers:
        groups = served[tier.queue]
        had = had if tier.queue == queue else 0
        slots = _slots(tier, groups, settings)
        new = max(0, slots - had) if case.boots else 0
        price = max(g.price / g.slots for g in groups) if case.worst else _mean_price(slots, groups)
        waiting = new * (settings.boot_seconds + settings.idle_seconds)
        dollars += price * (tier.seconds * case.rate * case.overhead + waiting) / SECONDS_PER_HOUR
        busy = max(tier.seconds / slots, tier.longest) * case.rate * case.overhead
        hours += (busy + (settings.boot_seconds if new else 0.0)) / SECONDS_PER_HOUR
        queue, had = tier.queue, slots
    return dollars, hours


def _cheapest_first(queue: str, groups: Sequence[Group]) -> list[Group]:
    found = [group for group in groups if group.queue == queue and group.max_size > 0]
    return sorted(found, key=lambda group: (group.price / group.slots, group.name))


def _slots(tier: TierWork, groups: Sequence[Group], settings: PolicySettings) -> int:
    """Slots that the policy would grow to for a tier, in whole instances."""
    most = sum(group.max_size * group.slots for group in groups)
    wanted = slots_to_grow_to(QueueDepth(tier.tasks, 0, None, tier.seconds / tier.tasks), settings)
    return min(most, -(-wanted // groups[0].slots) * groups[0].slots)


def _mean_price(slots: int, groups: Sequence[Group]) -> float:
    """Dollars an hour of a slot, when so many are had from the cheapest groups."""
    left, dollars = slots, 0.0
    for group in groups:
        taken = min(left, group.max_size * group.slots)
        dollars += taken * group.price / group.slots
        left -= taken
    return dollars / slots
