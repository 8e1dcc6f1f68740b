"""One step of a cluster: look, decide, act, write down.

A step looks at the driver, the workers' reports and Airflow's queues, asks `decide` what to do, does it
in the order that `Decision` says, and writes down what it saw and did. It may be killed anywhere: the
next step looks anew, and what the policy has to know it reads off the instances where its memory lacks it.

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

from seuron.compute import workers
from seuron.compute.budgets import TierAhead, dollars_ahead, run_at_work
from seuron.compute.cluster_file import Cluster
from seuron.compute.groups import Driver, Group, WorkerReport
from seuron.compute.money import MoneyLook
from seuron.compute.policy import decide
from seuron.compute.records import Event, Look, Records
from seuron.compute.situation import Decision, GroupLook, QueueDepth, Situation, TasksEnded
from seuron.errors import ComputeError, RunError

#: How long a step waits for another one to end, in seconds.
LOCK_SECONDS = 120.0
#: A call that took longer is told, in seconds: usual answers take one.
SLOW_SECONDS = 20.0
#: Steps may be late by so many times their distance; what is later is a manager that was away.
MOST_LATE = 3.0


@dataclass(frozen=True)
class QueueLook:
    """What Airflow says: depth by queue, tasks at work by run and queue, and those that ended by worker.

    `busy` are the seconds that tasks of a run had slots of a queue in the time that was asked about; None where that
    is not known. `limited` are the runs with budgets of their own: what may be at work of them before the next look.
    """

    depths: Mapping[str, QueueDepth] = field(default_factory=dict)
    running: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    busy: Mapping[str, Mapping[str, float]] | None = None
    limited: Mapping[str, Sequence[TierAhead]] = field(default_factory=dict)
    ended: Mapping[str, TasksEnded] = field(default_factory=dict)


class QueueSource(Protocol):
    """What a step needs of Airflow."""

    def look(self, queues: Sequence[str], since: float, until: float) -> QueueLook:
        """The queues now, and what was done from `since` to `until`, the present (s since 1970).

        Raises RunError without an answer.
        """
        ...


class Workers(Protocol):
    """What a step needs of the workers. Every call may raise ComputeError."""

    def reports(self) -> Sequence[WorkerReport]:
        """What each living worker said last."""
        ...

    def drain(self, name: str) -> None:
        """Tell a worker to take no more tasks."""
        ...

    def resume(self, name: str) -> None:
        """Let it take tasks again."""
        ...


@dataclass(frozen=True)
class BrokerWorkers:
    """The workers that report to a broker. Its address may hold a password, so it is never shown."""

    broker_url: str = field(repr=False)

    def reports(self) -> Sequence[WorkerReport]:
        return workers.reports(self.broker_url)

    def drain(self, name: str) -> None:
        workers.drain(self.broker_url, name)

    def resume(self, name: str) -> None:
        workers.resume(self.broker_url, name)


class Controller:
    """Does the steps of one cluster. Several may be made, in several processes: their steps wait for each other.

    `look_seconds` is the time between two steps, as a rule.
    """

    def __init__(
        self,
        cluster: Cluster,
        driver: Driver,
        source: QueueSource,
        workers: Workers,
        records: Records,
        clock: Callable[[], float] = time.time,
        look_seconds: float = 60.0,
    ) -> None:
        self.cluster, self.driver, self.source, self.workers = cluster, driver, source, workers
        self.records, self._clock, self.look_seconds = records, clock, look_seconds

    def step(self, expected: Mapping[str, QueueDepth] | None = None) -> Event:
        """Look, decide, act and write down. `expected` are tasks that will be ready as soon as this step is done."""
        with self.records.lock(LOCK_SECONDS):
            return _Step(self, self._clock(), expected or {}).do()


class _Step:
    """One step, while the folder is locked."""

    def __init__(self, controller: Controller, now: float, expected: Mapping[str, QueueDepth]) -> None:
        self.cluster, self.driver, self.source = controller.cluster, controller.driver, controller.source
        self.workers, self.records = controller.workers, controller.records
        self.now, self.expected = now, expected
        self.before = self.records.look()
        self.look_seconds = controller.look_seconds
        self.problems: list[str] = []
        self.unseen: set[str] = set()

    def do(self) -> Event:
        groups = tuple(found for group in self.cluster.groups if (found := self._group(group)) is not None)
        lost = self._lost(groups)
        queues = self._queues()
        reports = self._reports()
        ledger = self.records.ledger().after(self._money(groups, queues), self.cluster.groups)
        self.records.write_ledger(ledger)
        look = Look(
            time=self.now,
            groups=groups,
            queues=self._depths(queues),
            reports=reports or {},
            ended=self._ended(groups, queues),
            spent=ledger.dollars,
            budget=self.cluster.budget_dollars,
        )
        decision = self._decide(look) if reports is not None and groups else None
        if decision is not None:
            self._act(decision, groups)
            self.records.write_memory(decision.memory)
        deleted = tuple(name for names in decision.delete.values() for name in names) if decision else ()
        held, problems = decision.held if decision else self._held(), tuple(self.problems)
        ahead = self._ahead(queues, groups, decision)
        self.records.write_look(replace(look, deleted=deleted, held=held, problems=problems, ahead=ahead))
        event = Event(self.now, decision.reasons if decision else (), deleted, lost, problems)
        if event.happened:
            self.records.add(event)
        return event

    # Looking.

    def _group(self, group: Group) -> GroupLook | None:
        """The group as it is, else as it was; None where it was never seen."""
        try:
            instances = tuple(self.driver.instances(group.name))
            return GroupLook(group, instances, self.driver.target(group.name), tuple(self.driver.shortages(group.name)))
        except ComputeError as error:
            self.problems.append(f"group {group.name} cannot be seen and is left as it is: {error}")
            self.unseen.add(group.name)
        old = self._old(group.name)
        return replace(old, group=group, shortages=()) if old else None

    def _old(self, group: str) -> GroupLook | None:
        looks = self.before.groups if self.before else ()
        return next((look for look in looks if look.group.name == group), None)

    def _lost(self, groups: Sequence[GroupLook]) -> tuple[str, ...]:
        """Instances that were there, were not asked to go, and are gone."""
        asked = self.before.deleted if self.before else ()
        gone = []
        for look in groups:
            old = self._old(look.group.name)
            here = {instance.name for instance in look.instances}
            kind = "spot" if look.group.spot else "on demand"
            gone += [
                f"{instance.name} ({kind})"
                for instance in (old.live if old else ())
                if instance.name not in here and instance.name not in asked
            ]
        return tuple(gone)

    def _queues(self) -> QueueLook | None:
        try:
            return self.source.look([queue.name for queue in self.cluster.tables.queues], self._since(), self.now)
        except RunError as error:
            self.problems.append(f"Airflow does not say what waits, so no group grows or shrinks: {error}")
            return None

    def _since(self) -> float:
        return self.before.time if self.before else self.now

    def _depths(self, queues: QueueLook | None) -> dict[str, QueueDepth]:
        if queues is None:
            return {}
        depths = dict(queues.depths)
        for queue, more in self.expected.items():
            if queue in depths:
                found = depths[queue]
                planned = found.planned_seconds or more.planned_seconds
                depths[queue] = replace(found, ready=max(found.ready, more.ready), planned_seconds=planned)
        return depths

    def _reports(self) -> dict[str, WorkerReport] | None:
        begun = self.records.memory().seen
        try:
            return {
                report.instance: report
                for report in self.workers.reports()
                # A worker reports before its Celery takes tasks; it is still starting then, and not drained.
                if report.accepting or report.running or report.instance in begun
            }
        except ComputeError as error:
            self.problems.append(f"nothing is done without the workers' reports: {error}")
            return None

    def _ended(self, groups: Sequence[GroupLook], queues: QueueLook | None) -> dict[str, TasksEnded]:
        """The tasks that ended on each instance that is there, in its whole life."""
        old = self.before.ended if self.before else {}
        new = queues.ended if queues else {}
        ended = {}
        for name in {instance.name for look in groups for instance in look.instances} & {*old, *new}:
            a, b = old.get(name, TasksEnded()), new.get(name, TasksEnded())
            ended[name] = TasksEnded(a.failed + b.failed, a.succeeded + b.succeeded)
        return ended

    def _money(self, groups: Sequence[GroupLook], queues: QueueLook | None) -> MoneyLook:
        """Instances that run or go are paid for; those that only start are not yet."""
        paid = {look.group.name: sum(item.state != "starting" for item in look.instances) for look in groups}
        last = self.records.ledger().last
        running = queues.running if queues else last.running if last else {}
        return MoneyLook(self.now, paid, running, queues.busy if queues else None)

    def _ahead(
        self, queues: QueueLook | None, groups: Sequence[GroupLook], decision: Decision | None
    ) -> Mapping[str, float]:
        """What each run with a budget would still spend if it were held at the next look, with the groups as asked."""
        if queues is None:
            return self.before.ahead if self.before else {}
        targets = decision.targets if decision else {}
        asked = [replace(look, target=targets.get(look.group.name, look.target)) for look in groups]
        return {
            run: dollars_ahead(run_at_work(tiers, asked, self.cluster.policy.assumed_seconds), self._until_next())
            for run, tiers in queues.limited.items()
        }

    def _until_next(self) -> float:
        """How long it may be until the next step: as long as always, or as it was this time, on a busy manager."""
        gap = self.now - self.before.time if self.before else 0.0
        return max(self.look_seconds, min(gap, MOST_LATE * self.look_seconds))

    # Deciding and acting.

    def _held(self) -> tuple[str, ...]:
        return self.before.held if self.before else ()

    def _decide(self, look: Look) -> Decision:
        situation = Situation(
            now=self.now,
            queues=look.queues,
            groups=look.groups,
            reports=look.reports,
            ended=look.ended,
            spent=look.spent,
            budget=look.budget,
            memory=self.records.memory(),
            look_seconds=self._until_next(),
        )
        return decide(situation, self.cluster.policy)

    def _act(self, decision: Decision, groups: Sequence[GroupLook]) -> None:
        seen = [look for look in groups if look.group.name not in self.unseen]
        for look in seen:
            if names := decision.delete.get(look.group.name):
                group = look.group.name
                self._try(f"removing {', '.join(names)}", partial(self.driver.delete, group, names))
        for name in decision.drain:
            self._try(f"draining {name}", partial(self.workers.drain, name))
        for name in decision.resume:
            self._try(f"resuming {name}", partial(self.workers.resume, name))
        for look in seen:
            self._size(look, decision)

    def _size(self, look: GroupLook, decision: Decision) -> None:
        """Ask for the target where it is not what the group has been asked for already."""
        name = look.group.name
        target = decision.targets[name]
        gone = set(decision.delete.get(name, ()))
        if target != look.target - sum(instance.name in gone for instance in look.live):
            self._try(f"resizing {name} to {target}", partial(self.driver.resize, name, target))

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
