"""What each group has at a step, and what is done to it: a `Decision` while it is made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from seuron.cluster.cluster_state import (
    ClusterState,
    Decision,
    DrainCause,
    Draining,
    GroupMemory,
    GroupState,
    PolicyMemory,
    QueueDepth,
)
from seuron.cluster.costs.budgets import WorkAhead, dollars_ahead
from seuron.cluster.costs.ledger import SECONDS_PER_HOUR
from seuron.cluster.groups import Group, Instance
from seuron.cluster.health import Diagnosis
from seuron.cluster.settings import PolicySettings


class GroupBuilder:
    """One group during a step.

    `kept` are the instances that work or will, `draining` those that take no more tasks; `pending` were
    asked for and are not among the instances yet, `grown` is what this step adds.
    """

    def __init__(
        self, group: GroupState, cluster: ClusterState, settings: PolicySettings, seen: Mapping[str, float]
    ) -> None:
        self.state, self.group, self.cluster, self.settings, self.seen = group, group.group, cluster, settings, seen
        self.name = self.group.name
        self.memory = cluster.memory.groups.get(self.name, GroupMemory())
        self.pending = max(0, group.target - len(group.live))
        self.grown = 0
        self.deleted: list[str] = []
        self.drained: list[str] = []
        self.resumed: list[str] = []
        self.reasons: list[str] = []
        drains = {instance.name: self._known_draining(instance) for instance in group.live}
        self.kept = [instance for instance in group.live if drains[instance.name] is None]
        self.draining = {name: drain for name, drain in drains.items() if drain is not None}

    def _known_draining(self, instance: Instance) -> Draining | None:
        """One that takes no tasks though nobody here said so was drained before the memory was lost."""
        known = self.cluster.memory.draining.get(instance.name)
        report = self.cluster.reports.get(instance.name)
        if known is None and report is not None and not report.accepting:
            return Draining(self.cluster.now, "surplus")
        return known

    @property
    def slots(self) -> int:
        """The slots that the group has, or will have once all that was asked for has begun."""
        return (len(self.kept) + self.pending + self.grown) * self.group.slots

    @property
    def size(self) -> int:
        return len(self.kept) + len(self.draining) + self.pending + self.grown

    @property
    def reporting(self) -> int:
        """Instances whose workers have reported."""
        return sum(name in self.seen for name in (*(i.name for i in self.kept), *self.draining))

    @property
    def unreported(self) -> int:
        return sum(instance.name not in self.seen for instance in self.kept)

    @property
    def task_seconds(self) -> float:
        """How long a task of the group's queue takes."""
        return _task_seconds(self.cluster.queues.get(self.group.queue), self.settings)

    def running(self, name: str) -> int:
        report = self.cluster.reports.get(name)
        return report.running if report is not None else 0

    def remember(self, **changes: Any) -> None:
        self.memory = replace(self.memory, **changes)

    def _ago(self, time: float | None) -> float:
        return float("inf") if time is None else self.cluster.now - time

    # Growing.

    def room(self) -> int:
        return max(0, self.group.max_size - self.size)

    def resting(self) -> bool:
        return self._ago(self.memory.rest_until) < 0

    def may_grow(self) -> bool:
        return (
            not self.resting()
            and self._ago(self.memory.grown) >= self.settings.ramp_seconds
            and self._ago(self.memory.shrunk) >= self.settings.settle_seconds
        )

    def step(self) -> int:
        """How many instances may be added at once: what is booting counts as not yet proven.

        Where none reports after a rest, the next try is half as large: a broken image fails for less and less.
        """
        first = self.settings.first_instances
        if not self.reporting:
            first = max(1, first >> min(self.memory.rests, 60))
        return max(0, max(first, 2 * self.reporting) - self.size)

    def overdue(self) -> bool:
        since = self.memory.grown if self.memory.grown is not None else self.cluster.memory.began
        return since is not None and self._ago(since) > self.settings.start_seconds

    def grow(self, count: int, why: str) -> None:
        self.grown += count
        self.remember(grown=self.cluster.now)
        self.reasons.append(f"{self.name} grows to {self.size}: {why}")

    def withdraw(self, booting: bool = False) -> None:
        """Give up what was asked for and has not been made; also what has not reported yet, if `booting`."""
        self.pending = 0
        for instance in list(self.kept):
            if instance.name not in self.seen and (booting or instance.state == "starting"):
                self.delete(instance.name, "is deleted: it has not begun, and will not be waited for")

    def rest(self, why: str) -> None:
        """Pass the group over for a while, twice as long as the last time unless that is long ago."""
        settings = self.settings
        long_ago = self._ago(self.memory.rest_until) > settings.rest_longest_seconds
        rests = 0 if long_ago else self.memory.rests
        # The exponent is bounded, because a float is.
        seconds = min(settings.rest_longest_seconds, settings.rest_seconds * 2.0 ** min(rests, 60))
        self.remember(rests=rests + 1, rest_until=self.cluster.now + seconds)
        self.reasons.append(f"{self.name} is passed over for {seconds:.0f} s: {why}")

    # Shrinking.

    def may_shrink(self) -> bool:
        """Always where there is nothing, so that an empty group keeps none of the others from shrinking."""
        return not self.slots or self._ago(self.memory.grown) >= self.settings.settle_seconds

    def ask_for_fewer(self, count: int) -> int:
        """Take back at most so many of the instances of which nothing is to be seen yet; returns how many."""
        count = min(count, self.pending)
        self.pending -= count
        if count:
            self.remember(shrunk=self.cluster.now)
            self.reasons.append(f"{self.name} asks for {count} fewer: there is no use for them any more")
        return count

    def least_busy(self) -> list[str]:
        """The instances in the order in which they are drained; the youngest first among equals."""
        order = sorted(self.kept, key=lambda i: (self.running(i.name), -i.created, i.name))
        return [instance.name for instance in order]

    def drain(self, name: str, cause: DrainCause, why: str) -> None:
        known = self.draining.get(name)
        if known is not None and (known.cause == cause or cause != "sick"):
            return
        self.kept = [instance for instance in self.kept if instance.name != name]
        self.draining[name] = Draining(known.since if known else self.cluster.now, cause)
        self.reasons.append(f"{name} {why}")

    def resumable(self) -> list[str]:
        """Drained instances that are healthy, the busiest first: they have most to lose by going."""
        names = [name for name, drain in self.draining.items() if drain.cause != "sick"]
        return sorted(names, key=lambda name: (-self.running(name), name))

    def resume(self, name: str, why: str) -> None:
        del self.draining[name]
        self.kept.append(next(instance for instance in self.state.live if instance.name == name))
        self.resumed.append(name)
        self.reasons.append(f"{name} {why}")

    def delete(self, name: str, why: str) -> None:
        self.kept = [instance for instance in self.kept if instance.name != name]
        self.draining.pop(name, None)
        self.deleted.append(name)
        self.reasons.append(f"{name} {why}")

    def delete_drained(self) -> None:
        """Delete the drained ones that run nothing; give the others the order again where they have not heard it."""
        for name, drain in list(self.draining.items()):
            report = self.cluster.reports.get(name)
            if report is None:
                continue
            deaf = self.cluster.now - drain.since > self.settings.dead_seconds
            if report.running == 0 and report.time >= drain.since and (deaf or not report.accepting):
                self.delete(name, "is deleted: it is drained and runs nothing")
                if drain.cause == "surplus":
                    self.remember(shrunk=self.cluster.now)
            elif report.accepting:
                self.drained.append(name)

    # Money.

    def work_ahead(self) -> WorkAhead:
        """What its machines do until the next step, and what finishing that is expected to take.

        One that is free takes a task by then if any is ready.
        """
        depth = self.cluster.queues.get(self.group.queue)
        begins = self.task_seconds if depth is not None and depth.ready else 0.0
        return WorkAhead.together(
            WorkAhead.of(1, self.group.price, self._seconds_to_finish(instance, begins))
            for instance in self.state.instances
        )

    def _seconds_to_finish(self, instance: Instance, begins: float) -> float:
        """How long the tasks of an instance still take, if each takes as long as its queue's do."""
        running, usual = self.running(instance.name), self.task_seconds
        if not running:
            return begins if instance in self.kept and instance.name in self.seen else 0.0
        if running == 1:
            return max(usual - self.cluster.reports[instance.name].oldest, usual / 4)
        # The last of k equal tasks, begun at any time, has k / (k + 1) of its length to go.
        return usual * running / (running + 1)

    def dollars_to_be_of_use(self) -> float:
        """What an instance costs that boots, waits for a step, and does one task in each slot."""
        waits = self.cluster.interval_seconds if self.cluster.budget is not None else 0.0
        useful = self.settings.boot_seconds + waits + self.task_seconds
        return max(self.settings.paid_seconds, useful) * self.group.price / SECONDS_PER_HOUR


def _task_seconds(depth: QueueDepth | None, settings: PolicySettings) -> float:
    return (depth.task_seconds if depth else None) or settings.assumed_seconds


def price_of_work(group: Group, task_seconds: float, settings: PolicySettings) -> float:
    """Dollars for an hour of work done in one slot.

    On a machine that lives for an exponential time of mean M, a task of length L that begins again after
    each loss takes M (e^(L/M) - 1) in all.
    """
    lives = task_seconds / SECONDS_PER_HOUR / settings.spot_hours if group.spot else 0.0
    # Beyond 50 lives no such task ever ends, and the exponential has no number.
    return group.slot_price * (math.expm1(min(lives, 50.0)) / lives if lives else 1.0)


class DecisionBuilder:
    """All groups during a step, and what is said of them."""

    def __init__(self, cluster: ClusterState, settings: PolicySettings, diagnosis: Diagnosis) -> None:
        self.cluster, self.settings, self.diagnosis = cluster, settings, diagnosis
        self.groups = {s.group.name: GroupBuilder(s, cluster, settings, diagnosis.seen) for s in cluster.groups}
        self.peaks = dict(cluster.memory.peaks)
        self.reasons: list[str] = []
        self.held_budget: float | None = None

    def by_price(self, queue: str) -> list[GroupBuilder]:
        """The groups that serve a queue, the cheapest slot first; what spot instances do again has its price."""
        found = [group for group in self.groups.values() if group.group.queue == queue]
        return sorted(found, key=lambda g: (price_of_work(g.group, g.task_seconds, self.settings), g.name))

    def dollars_ahead(self) -> float:
        """What would still be spent if a hold began at the next step."""
        work = WorkAhead.together(group.work_ahead() for group in self.groups.values())
        return dollars_ahead(work, self.cluster.interval_seconds)

    def affordable(self, group: GroupBuilder) -> int:
        """How many instances of a group the rest of the budget lets boot and do a task, after those there are."""
        if self.cluster.budget is None:
            return group.room()
        promised = sum(other.size * other.dollars_to_be_of_use() for other in self.groups.values())
        rest = self.cluster.budget - self.cluster.spent - promised
        each = group.dollars_to_be_of_use()
        if each > 0:
            return max(0, int(rest / each))
        return group.room() if rest >= 0 else 0

    def hold_if_nothing_runs(self, group: GroupBuilder) -> None:
        """Say that the rest of the budget is too little for anything, rather than wait for ever."""
        if self.held_budget is None and not any(other.size for other in self.groups.values()):
            self.held_budget = self.cluster.budget
            self.reasons.append(
                f"the rest of the budget, ${(self.cluster.budget or 0) - self.cluster.spent:.2f}, is less than "
                f"an instance of {group.name} takes for one task, ${group.dollars_to_be_of_use():.2f}; raise the "
                "budget to go on"
            )

    def decision(self) -> Decision:
        cluster, diagnosis, groups = self.cluster, self.diagnosis, self.groups.values()
        gone = {name for group in groups for name in group.deleted}
        held = tuple(queue for queue, depth in cluster.queues.items() if depth.ready)
        return Decision(
            targets={group.name: group.size for group in groups},
            delete={group.name: tuple(group.deleted) for group in groups if group.deleted},
            drain=tuple(name for group in groups for name in group.drained),
            resume=tuple(name for group in groups for name in group.resumed),
            held=held if self.held_budget is not None else (),
            memory=PolicyMemory(
                began=cluster.now if cluster.memory.began is None else cluster.memory.began,
                groups={group.name: group.memory for group in groups},
                peaks=self.peaks,
                seen={name: time for name, time in diagnosis.seen.items() if name not in gone},
                full_since={name: time for name, time in diagnosis.full_since.items() if name not in gone},
                stuck=diagnosis.stuck,
                draining={name: drain for group in groups for name, drain in group.draining.items()},
                held_budget=self.held_budget,
            ),
            reasons=(*diagnosis.notes, *self.reasons, *(text for group in groups for text in group.reasons)),
        )
