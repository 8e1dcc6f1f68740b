"""What instances cost, and which run they worked for.

Pure arithmetic, in dollars, instance-hours and seconds. A `Usage` says how many instances each group had
at a time, which holds until the next one, and how long tasks of each run had slots of each queue since the
one before. Where that is not known, the tasks that ran then are taken to have run all the time.

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

from seuron.cluster.groups import Group

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Usage:
    """Instances by group that were paid for at a time, and running tasks by run and by queue.

    `busy` are the seconds that tasks of a run had slots of a queue since the usage before, all of them together; None
    where nobody could say.
    """

    time: float
    instances: Mapping[str, int]
    running: Mapping[str, Mapping[str, int]]
    busy: Mapping[str, Mapping[str, float]] | None = None


@dataclass(frozen=True)
class Ledger:
    """What was spent so far. `hours` are instance-hours by group, the others dollars; `last` the newest usage."""

    hours: Mapping[str, float] = field(default_factory=dict)
    groups: Mapping[str, float] = field(default_factory=dict)
    runs: Mapping[str, float] = field(default_factory=dict)
    overhead: float = 0.0
    last: Usage | None = None

    @property
    def dollars(self) -> float:
        return math.fsum(self.groups.values())

    def after(self, usage: Usage, groups: Sequence[Group]) -> Ledger:
        """The ledger once `usage` is known. What the last one had is paid for until now; time never runs back.

        A group that is not in `groups` has no price and is left out.
        """
        if self.last is None:
            return replace(self, last=usage)
        hours = max(0.0, usage.time - self.last.time) / SECONDS_PER_HOUR
        ledger = self
        for queue in sorted({group.queue for group in groups}):
            served = [group for group in groups if group.queue == queue]
            ledger = ledger._paid(self.last, served, hours, _slot_hours(self.last, usage, queue, hours))
        return replace(ledger, last=usage)

    def _paid(self, usage: Usage, groups: Sequence[Group], hours: float, busy: Mapping[str, float]) -> Ledger:
        counts = {group.name: usage.instances.get(group.name, 0) for group in groups}
        dollars = {group.name: counts[group.name] * group.price * hours for group in groups}
        total = math.fsum(dollars.values())
        slot_hours = max(sum(counts[group.name] * group.slots for group in groups) * hours, math.fsum(busy.values()))
        shares = {run: total * (taken / slot_hours) for run, taken in busy.items()} if total else {}
        return Ledger(
            hours=_sum(self.hours, {name: count * hours for name, count in counts.items() if count}),
            groups=_sum(self.groups, {name: amount for name, amount in dollars.items() if amount}),
            runs=_sum(self.runs, shares),
            overhead=self.overhead + total - math.fsum(shares.values()),
            last=usage,
        )


def _slot_hours(before: Usage, now: Usage, queue: str, hours: float) -> dict[str, float]:
    """How long tasks of each run had slots of a queue between two times, `hours` apart."""
    if now.busy is not None:
        found = {run: queues.get(queue, 0.0) / SECONDS_PER_HOUR for run, queues in now.busy.items()}
    else:
        found = {run: queues.get(queue, 0) * hours for run, queues in before.running.items()}
    return {run: taken for run, taken in found.items() if taken > 0}


def _sum(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    return {name: a.get(name, 0.0) + b.get(name, 0.0) for name in sorted({*a, *b})}
