"""What instances cost, which run they worked for, and what a run will cost.

Pure arithmetic, in dollars, instance-hours and seconds. A *look* says how many instances each group had
at a time, and how many tasks of each run were at work in each queue; it holds until the next look.

Who pays: the slots of a queue's instances are shared out by the tasks at work on the queue. A task has
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

from seuron.compute.groups import Group
from seuron.compute.settings import PolicySettings

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class MoneyLook:
    """Instances by group that were paid for at a time, and tasks at work by run and by queue."""

    time: float
    instances: Mapping[str, int]
    running: Mapping[str, Mapping[str, int]]


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
            ledger = ledger._paid(queue, [group for group in groups if group.queue == queue], hours)
        return replace(ledger, last=look)

    def _paid(self, queue: str, groups: Sequence[Group], hours: float) -> Ledger:
        assert self.last is not None
        counts = {group.name: self.last.instances.get(group.name, 0) for group in groups}
        dollars = {group.name: counts[group.name] * group.price * hours for group in groups}
        total = math.fsum(dollars.values())
        running = {run: queues.get(queue, 0) for run, queues in self.last.running.items() if queues.get(queue, 0) > 0}
        slots = max(sum(counts[group.name] * group.slots for group in groups), sum(running.values()))
        shares = {run: total * tasks / slots for run, tasks in running.items()} if total else {}
        return Ledger(
            hours=_sum(self.hours, {name: count * hours for name, count in counts.items() if count}),
            groups=_sum(self.groups, {name: amount for name, amount in dollars.items() if amount}),
            runs=_sum(self.runs, shares),
            overhead=self.overhead + total - math.fsum(shares.values()),
            last=self.last,
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
class QueueWork:
    """The tasks that a run has for a queue: how many, their seconds together, the longest, in how many tiers."""

    tasks: int
    seconds: float
    longest: float
    tiers: int = 1


#: What an hour of work costs in instance-hours that are paid, as the simulator found (docs/scaling-policy.md):
#: slots wait at barriers, while they boot and before they are drained, and lost tasks are done again. Small
#: runs wait more; the fixed part is in `_queue_hours` and `_queue_dollars`.
LIKELY_OVERHEAD = 1.2
HIGH_OVERHEAD = 1.6
#: Measured lengths of tasks against planned ones, at least and at most: plans are of measured rates, tissue and
#: machines differ.
RATE_LOW, RATE_HIGH = 0.7, 1.5


def estimate(work: Mapping[str, QueueWork], groups: Sequence[Group], settings: PolicySettings) -> Estimate:
    """Dollars and hours of a run, from its tasks' planned seconds.

    Low takes fast tasks on the cheapest groups without any waiting, high slow ones on the dearest that are
    needed. The queues of a run are used one after the other, so their hours add up.
    """
    served = {queue: _cheapest_first(queue, groups) for queue in work}
    unserved = tuple(sorted(queue for queue, found in served.items() if not found))
    dollars, hours = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
    cases = ((RATE_LOW, 1.0), (1.0, LIKELY_OVERHEAD), (RATE_HIGH, HIGH_OVERHEAD))
    for queue in sorted(set(work) - set(unserved)):
        for case, (rate, overhead) in enumerate(cases):
            wall = _queue_hours(work[queue], served[queue], settings, rate, overhead)
            hours[case] += wall
            dollars[case] += _queue_dollars(work[queue], served[queue], settings, rate, overhead, dear=case == 2)
    return Estimate(Spread(*dollars), Spread(*hours), unserved)


def _cheapest_first(queue: str, groups: Sequence[Group]) -> list[Group]:
    found = [group for group in groups if group.queue == queue and group.max_size > 0]
    return sorted(found, key=lambda group: (group.price / group.slots, group.name))


def _slots(work: QueueWork, groups: Sequence[Group], settings: PolicySettings) -> int:
    """Slots that the policy would grow to, at most."""
    most = sum(group.max_size * group.slots for group in groups)
    mean = work.seconds / max(1, work.tasks)
    startable = max(1, math.ceil(settings.starts_per_second * mean))
    wanted = math.ceil(work.seconds / max(1, work.tiers) / settings.target_seconds)
    return max(1, min(most, work.tasks, startable, wanted))


def _queue_hours(
    work: QueueWork, groups: Sequence[Group], settings: PolicySettings, rate: float, overhead: float
) -> float:
    """Work shared out to the slots, but at least the longest task of a tier; a boot unless all goes well."""
    if not work.tasks:
        return 0.0
    busy = max(work.seconds / _slots(work, groups, settings), work.longest)
    waiting = settings.boot_seconds + (overhead - 1) * (settings.target_seconds + settings.boot_seconds * work.tiers)
    return (busy * rate * overhead + (waiting if overhead > 1 else 0.0)) / SECONDS_PER_HOUR


def _queue_dollars(
    work: QueueWork, groups: Sequence[Group], settings: PolicySettings, rate: float, overhead: float, *, dear: bool
) -> float:
    """Slots are paid by the instance; the groups that are needed are filled in the order of their price."""
    if not work.tasks:
        return 0.0
    slots = _slots(work, groups, settings)
    price = _mean_price(slots, groups) if not dear else max(group.price / group.slots for group in groups)
    fixed = settings.boot_seconds + settings.idle_seconds
    whole = max(slots, groups[0].slots) if overhead > 1 else slots
    waiting = whole * fixed * work.tiers**0.5 if overhead > 1 else 0.0
    return price * (work.seconds * rate * overhead + waiting) / SECONDS_PER_HOUR


def _mean_price(slots: int, groups: Sequence[Group]) -> float:
    """Dollars an hour of a slot, when so many are had from the cheapest groups."""
    left, dollars = slots, 0.0
    for group in groups:
        taken = min(left, group.max_size * group.slots)
        dollars += taken * group.price / group.slots
        left -= taken
    return dollars / slots
