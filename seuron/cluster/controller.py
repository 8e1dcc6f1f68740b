"""One step of a cluster: look, decide, act, write down.

A step looks at the driver, the workers' reports and Airflow's queues, asks `decide` what to do, does it
in the order that `Decision` says, and writes down what it saw and did. It may be killed anywhere: the
next step looks again, and what the policy has to know it reads off the instances where its memory lacks it.

Who does not answer stops nothing else. Without the workers' reports or a group that can be seen nothing
is done; without Airflow the groups stay as large as they are, and only dead instances are replaced; a
group that its driver does not show is taken to be as it was, and left alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from seuron.cluster.cluster_state import ClusterState, Decision, GroupState, QueueDepth, TasksEnded
from seuron.cluster.config import Cluster
from seuron.cluster.costs.budgets import TierAhead, dollars_ahead, work_of_run
from seuron.cluster.costs.ledger import Usage
from seuron.cluster.groups import Driver, Group, WorkerReport
from seuron.cluster.policy import decide
from seuron.cluster.records import ClusterEvent, ClusterSnapshot, Records
from seuron.errors import ComputeError, RunError

#: How long a step waits for another one to end, in seconds.
LOCK_SECONDS = 120.0
#: A call that took longer is written down, in seconds: usual answers take one.
SLOW_SECONDS = 20.0
#: Steps may be late by so many times their distance; what is later is a manager that was away.
MOST_LATE = 3.0


@dataclass(frozen=True)
class QueueState:
    """What Airflow says: depth by queue, running tasks by run and queue, and those that ended by worker.

    `busy` are the seconds that tasks of a run had slots of a queue in the time that was asked about; None where that
    is not known. `limited` are the runs with budgets of their own: what may run of them before the next step.
    """

    depths: Mapping[str, QueueDepth] = field(default_factory=dict)
    running: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    busy: Mapping[str, Mapping[str, float]] | None = None
    limited: Mapping[str, Sequence[TierAhead]] = field(default_factory=dict)
    ended: Mapping[str, TasksEnded] = field(default_factory=dict)


class QueueSource(Protocol):
    """What a step needs of Airflow."""

    def queue_state(self, queues: Sequence[str], since: float, until: float) -> QueueState:
        """The queues now, and what was done from `since` to `until`, the present (s since 1970).

        Raises RunError without an answer.
        """
        ...


class Workers(Protocol):
    """What a step needs of the workers (`workers.BrokerWorkers`). Every call may raise ComputeError."""

    def reports(self) -> Sequence[WorkerReport]: ...

    def drain(self, name: str) -> None: ...

    def resume(self, name: str) -> None: ...


@dataclass(frozen=True)
class Controller:
    """Does the steps of one cluster. Several may be made, in several processes: their steps wait for each other.

    `interval_seconds` is the time between two steps, as a rule.
    """

    cluster: Cluster
    driver: Driver
    source: QueueSource
    workers: Workers
    records: Records
    clock: Callable[[], float] = time.time
    interval_seconds: float = 60.0

    def step(self, expected: Mapping[str, QueueDepth] | None = None) -> ClusterEvent:
        """Look, decide, act and write down. `expected` are tasks that will be ready as soon as this step is done."""
        with self.records.lock(LOCK_SECONDS):
            return _Step(self, expected or {}).do()


class _Step:
    """One step, while the folder is locked. `before` is the snapshot of the last one, an empty one at first."""

    def __init__(self, controller: Controller, expected: Mapping[str, QueueDepth]) -> None:
        self.controller, self.cluster, self.records = controller, controller.cluster, controller.records
        self.now, self.expected = controller.clock(), expected
        self.before = self.records.snapshot() or ClusterSnapshot(self.now)
        self.problems: list[str] = []
        self.unseen: set[str] = set()

    def do(self) -> ClusterEvent:
        groups = tuple(found for group in self.cluster.groups if (found := self._group(group)) is not None)
        lost = self._lost(groups)
        queues = self._queues()
        reports = self._reports()
        ledger = self.records.ledger()
        ledger = ledger.after(self._usage(groups, queues, ledger.last), self.cluster.groups)
        self.records.write_ledger(ledger)
        state = ClusterState(
            now=self.now,
            queues=self._depths(queues),
            groups=groups,
            reports=reports or {},
            ended=self._ended(groups, queues),
            spent=ledger.dollars,
            budget=self.cluster.budget_dollars,
            memory=self.records.memory(),
            interval_seconds=self._until_next(),
        )
        decision = decide(state, self.cluster.policy) if reports is not None and groups else None
        if decision is not None:
            self._act(decision, groups)
            self.records.write_memory(decision.memory)
        deleted = tuple(name for names in decision.delete.values() for name in names) if decision else ()
        snapshot = ClusterSnapshot(
            time=self.now,
            groups=groups,
            queues=state.queues,
            reports=state.reports,
            ended=state.ended,
            spent=state.spent,
            budget=state.budget,
            held=decision.held if decision else self.before.held,
            deleted=deleted,
            problems=tuple(self.problems),
            ahead=self._ahead(queues, groups, decision),
        )
        self.records.write_snapshot(snapshot)
        event = ClusterEvent(self.now, decision.reasons if decision else (), deleted, lost, snapshot.problems)
        if event.happened:
            self.records.add(event)
        return event

    # Looking.

    def _group(self, group: Group) -> GroupState | None:
        """The group as it is, else as it was; None where it was never seen."""
        driver = self.controller.driver
        try:
            instances = tuple(driver.instances(group.name))
            return GroupState(group, instances, driver.target(group.name), tuple(driver.shortages(group.name)))
        except ComputeError as error:
            self.problems.append(f"group {group.name} cannot be seen and is left as it is: {error}")
            self.unseen.add(group.name)
        old = self._old(group.name)
        return replace(old, group=group, shortages=()) if old else None

    def _old(self, group: str) -> GroupState | None:
        return next((state for state in self.before.groups if state.group.name == group), None)

    def _lost(self, groups: Sequence[GroupState]) -> tuple[str, ...]:
        """Instances that were there, were not asked to go, and are gone."""
        gone = []
        for state in groups:
            old = self._old(state.group.name)
            known = {instance.name for instance in state.instances} | set(self.before.deleted)
            kind = "spot" if state.group.spot else "on demand"
            gone += [f"{i.name} ({kind})" for i in (old.live if old else ()) if i.name not in known]
        return tuple(gone)

    def _queues(self) -> QueueState | None:
        names = [queue.name for queue in self.cluster.queues]
        try:
            return self.controller.source.queue_state(names, self.before.time, self.now)
        except RunError as error:
            self.problems.append(f"Airflow does not say what waits, so no group grows or shrinks: {error}")
            return None

    def _depths(self, queues: QueueState | None) -> dict[str, QueueDepth]:
        depths = dict(queues.depths) if queues else {}
        for queue, more in self.expected.items():
            if found := depths.get(queue):
                planned = found.planned_seconds or more.planned_seconds
                depths[queue] = replace(found, ready=max(found.ready, more.ready), planned_seconds=planned)
        return depths

    def _reports(self) -> dict[str, WorkerReport] | None:
        begun = self.records.memory().seen
        try:
            return {
                report.instance: report
                for report in self.controller.workers.reports()
                # A worker reports before its Celery takes tasks; it is still starting then, and not drained.
                if report.accepting or report.running or report.instance in begun
            }
        except ComputeError as error:
            self.problems.append(f"nothing is done without the workers' reports: {error}")
            return None

    def _ended(self, groups: Sequence[GroupState], queues: QueueState | None) -> dict[str, TasksEnded]:
        """The tasks that ended on each instance that is there, in its whole life."""
        old, new = self.before.ended, queues.ended if queues else {}
        ended = {}
        for name in {instance.name for state in groups for instance in state.instances} & {*old, *new}:
            a, b = old.get(name, TasksEnded()), new.get(name, TasksEnded())
            ended[name] = TasksEnded(a.failed + b.failed, a.succeeded + b.succeeded)
        return ended

    def _usage(self, groups: Sequence[GroupState], queues: QueueState | None, last: Usage | None) -> Usage:
        """Instances that run or go are paid for; those that only start are not yet."""
        paid = {state.group.name: sum(item.state != "starting" for item in state.instances) for state in groups}
        if queues is None:
            return Usage(self.now, paid, last.running if last else {})
        return Usage(self.now, paid, queues.running, queues.busy)

    def _ahead(
        self, queues: QueueState | None, groups: Sequence[GroupState], decision: Decision | None
    ) -> Mapping[str, float]:
        """What each run with a budget would still spend if it were held at the next step, with the groups as asked."""
        if queues is None:
            return self.before.ahead
        targets = decision.targets if decision else {}
        asked = [replace(state, target=targets.get(state.group.name, state.target)) for state in groups]
        return {
            run: dollars_ahead(work_of_run(tiers, asked, self.cluster.policy.assumed_seconds), self._until_next())
            for run, tiers in queues.limited.items()
        }

    def _until_next(self) -> float:
        """How long it may be until the next step: as long as always, or as it was this time, on a busy manager."""
        usual = self.controller.interval_seconds
        return max(usual, min(self.now - self.before.time, MOST_LATE * usual))

    # Acting.

    def _act(self, decision: Decision, groups: Sequence[GroupState]) -> None:
        driver, workers = self.controller.driver, self.controller.workers
        seen = [state for state in groups if state.group.name not in self.unseen]
        for state in seen:
            if names := decision.delete.get(state.group.name):
                self._try(f"removing {', '.join(names)}", partial(driver.delete, state.group.name, names))
        for name in decision.drain:
            self._try(f"draining {name}", partial(workers.drain, name))
        for name in decision.resume:
            self._try(f"resuming {name}", partial(workers.resume, name))
        for state in seen:
            name = state.group.name
            target, gone = decision.targets[name], set(decision.delete.get(name, ()))
            # Only where it is not what the group has been asked for already.
            if target != state.target - sum(instance.name in gone for instance in state.live):
                self._try(f"resizing {name} to {target}", partial(driver.resize, name, target))

    def _try(self, what: str, call: Callable[[], None]) -> None:
        """Do one thing; when it cannot be done, the others still are, and the next step sees what is missing."""
        began = time.monotonic()
        try:
            call()
        except ComputeError as error:
            self.problems.append(str(error))
        seconds = time.monotonic() - began
        if seconds > SLOW_SECONDS:
            self.problems.append(f"{what} took {seconds:.0f} s, as answers came late")
