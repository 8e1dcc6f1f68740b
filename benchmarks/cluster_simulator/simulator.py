"""Runs a workload on a virtual clock: events in the order of their times, no threads, no waiting.

The scheduler starts so many tasks a second on workers with a free slot, chosen at random. A lost task is seen
after a while and started again. Every `interval_seconds` the policy is asked, and its decision is done.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from seuron.cluster.cluster_state import ClusterState, Decision, GroupState, PolicyMemory, QueueDepth, TasksEnded
from seuron.cluster.costs.ledger import Ledger, Usage
from seuron.cluster.groups import Group, WorkerReport

from .provider import VirtualGroups, VirtualMachine
from .work import Workload, actual_seconds
from .world import World

#: How many tasks of a tier must have ended before their mean is believed.
ENOUGH_MEASURED = 5
RUN = "run"


class Policy(Protocol):
    """What is compared: a rule that is asked at every look. `finished` is that the workload is done."""

    @property
    def name(self) -> str: ...

    def decide(self, state: ClusterState, finished: bool) -> Decision: ...


@dataclass(frozen=True)
class Result:
    """What a simulated run took. Hours of instances are those that are paid; idle ones had no task in a slot.

    `seconds` is until the last task, `first_task` until the first one ended waiting, `gone` until the last
    instance was removed. `lost` counts attempts that ended with their worker, `failed` those that a bad host
    failed; `lost_hours` are instance-hours that both took.
    """

    policy: str
    workload: str
    finished: bool
    paused: bool
    seconds: float
    first_task: float
    gone: float
    dollars: float
    instance_hours: float
    idle_hours: float
    lost: int
    failed: int
    lost_hours: float
    most_instances: int
    left_over: int
    ledger: Ledger
    #: Dollars spent when the budget was first held; those of the end less these finished running tasks.
    dollars_when_held: float | None
    hours_by_group: Mapping[str, float]
    #: When each tier ended, in seconds.
    tier_ends: tuple[float, ...]
    targets: tuple[tuple[float, Mapping[str, int]], ...] = field(repr=False)
    reasons: tuple[tuple[float, str], ...] = field(repr=False)


@dataclass(eq=False)
class _Attempt:
    number: int
    task: int
    machine: VirtualMachine
    begun: float


class Simulator:
    """One run of a workload in a world under a policy."""

    def __init__(
        self,
        workload: Workload,
        groups: Sequence[Group],
        policy: Policy,
        world: World,
        seed: int = 0,
        budget: float | None = None,
        longest_days: float = 60.0,
    ) -> None:
        self.workload, self.policy, self.world, self.budget = workload, policy, world, budget
        self.longest = longest_days * 86400
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.random = random.Random(seed)
        self.provider = VirtualGroups(groups, world, self, seed + 1, self._worker_begins, self._worker_ends)
        self.lengths = actual_seconds(workload, world, seed)
        self.queues = sorted({g.queue for g in groups} | {tier.queue for tier in workload.tiers})
        self.free: dict[str, list[VirtualMachine]] = {queue: [] for queue in self.queues}
        self.ready: deque[int] = deque()
        self.attempts: dict[int, _Attempt] = {}
        self.tier = -1
        self.done = 0
        self.measured = 0.0
        self.next_start = 0.0
        self.starting = False
        self.held: frozenset[str] = frozenset()
        self.memory = PolicyMemory()
        self.ledger = Ledger()
        self.finished_at: float | None = None
        self.first_task: float | None = None
        self.held_at: float | None = None
        self.busy: dict[str, float] = dict.fromkeys(self.provider.groups, 0.0)
        self.lost = self.failed = self.most = 0
        self.lost_slot_hours = 0.0
        self.targets: list[tuple[float, Mapping[str, int]]] = []
        self.reasons: list[tuple[float, str]] = []
        self.tier_ends: list[float] = []
        self.stopped = False

    def at(self, time: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time, next(self._order), call))

    def run(self) -> Result:
        self._next_tier()
        self._look()
        while self._events and not self.stopped and self.now < self.longest:
            self.now, _, call = heapq.heappop(self._events)
            call()
        return self._result()

    # Tasks.

    @property
    def queue(self) -> str:
        """The queue of the tier that is at work."""
        return self.workload.tiers[min(self.tier, len(self.workload.tiers) - 1)].queue

    def _next_tier(self) -> None:
        if self.tier >= 0:
            self.tier_ends.append(self.now)
        self.tier += 1
        if self.tier == len(self.workload.tiers):
            self.finished_at = self.now
            return
        self.done, self.measured = 0, 0.0
        self.ready.extend(range(len(self.workload.tiers[self.tier].seconds)))
        self._start_tasks()

    def _start_tasks(self) -> None:
        """Start what may start now; where the scheduler is the limit, go on as soon as it may."""
        while self.ready and self.queue not in self.held and not self.world.broker_is_down(self.now):
            if self.next_start > self.now:
                if not self.starting:
                    self.starting = True
                    self.at(self.next_start, self._start_again)
                return
            machine = self._free_machine()
            if machine is None:
                return
            self._start(self.ready.popleft(), machine)
            self.next_start = self.now + 1 / self.world.starts_per_second

    def _start_again(self) -> None:
        self.starting = False
        self._start_tasks()

    def _free_machine(self) -> VirtualMachine | None:
        """Any worker of the queue with a free slot; those that are no longer usable are dropped on the way."""
        free = self.free[self.queue]
        while free:
            place = self.random.randrange(len(free))
            machine = free[place]
            if machine.usable:
                return machine
            machine.offered = False
            free[place] = free[-1]
            free.pop()
        return None

    def _offer(self, machine: VirtualMachine) -> None:
        """Put a worker that may take a task into the list of those."""
        if machine.usable and not machine.offered:
            machine.offered = True
            self.free[machine.group.queue].append(machine)

    def _start(self, task: int, machine: VirtualMachine) -> None:
        attempt = _Attempt(next(self._order), task, machine, self.now)
        self.attempts[attempt.number] = attempt
        if self.first_task is None:
            self.first_task = self.now
        machine.running[attempt.number] = self.now
        if machine.bad or machine.disk >= 1.0:
            self.at(self.now + self.world.fail_seconds, lambda: self._fail(attempt))
        elif self.random.random() < self.world.stuck_share:
            self.at(self.now + self.world.timeout_seconds, lambda: self._fail(attempt))
        else:
            length = float(self.lengths[self.tier][task])
            self.at(self.now + length, lambda: self._succeed(attempt))

    def _end(self, attempt: _Attempt) -> bool:
        """Take an attempt off its worker; False if it was lost before."""
        if self.attempts.pop(attempt.number, None) is None:
            return False
        machine = attempt.machine
        del machine.running[attempt.number]
        self.busy[machine.group.name] += (self.now - attempt.begun) / machine.group.slots
        self._offer(machine)
        return True

    def _succeed(self, attempt: _Attempt) -> None:
        if not self._end(attempt):
            return
        attempt.machine.succeeded += 1
        attempt.machine.disk += 0.02 if attempt.machine.fills else 0.0
        self.done += 1
        self.measured += self.now - attempt.begun
        if self.done == len(self.workload.tiers[self.tier].seconds):
            self.at(self.now + self.world.tier_seconds, self._next_tier)
        self._start_tasks()

    def _fail(self, attempt: _Attempt) -> None:
        if not self._end(attempt):
            return
        attempt.machine.failed += 1
        self.failed += 1
        self._again(attempt, self.world.retry_seconds)
        self._start_tasks()

    def _again(self, attempt: _Attempt, wait: float) -> None:
        self.lost_slot_hours += (self.now - attempt.begun) / 3600 / attempt.machine.group.slots

        def retry() -> None:
            self.ready.append(attempt.task)
            self._start_tasks()

        self.at(self.now + wait, retry)

    # Workers.

    def _worker_begins(self, machine: VirtualMachine) -> None:
        self._offer(machine)
        self._start_tasks()

    def _worker_ends(self, machine: VirtualMachine) -> None:
        """What ran on a lost worker is started again, once the scheduler has seen that it is lost."""
        for number in list(machine.running):
            attempt = self.attempts[number]
            self._end(attempt)
            self.lost += 1
            self._again(attempt, self.world.notice_seconds)

    # Looks.

    def _look(self) -> None:
        state = self._situation()
        finished = self.finished_at is not None
        decision = self.policy.decide(state, finished)
        self._carry_out(decision)
        self.memory = decision.memory
        instances = sum(len(machines) for machines in self.provider.machines.values())
        self.most = max(self.most, instances)
        self.targets.append((self.now, dict(decision.targets)))
        self.reasons += [(self.now, reason) for reason in decision.reasons]
        idle = not instances and not self.attempts and not any(decision.targets.values())
        if idle and (finished or self.held):
            self.stopped = True
        self.at(self.now + self.world.interval_seconds, self._look)

    def _situation(self) -> ClusterState:
        looks = tuple(
            GroupState(
                group,
                tuple(self.provider.instances(name)),
                self.provider.target(name),
                tuple(self.provider.shortages(name)),
            )
            for name, group in self.provider.groups.items()
        )
        self._count_money()
        machines = [m for found in self.provider.machines.values() for m in found.values()]
        return ClusterState(
            now=self.now,
            queues={queue: self._depth(queue) for queue in self.queues},
            groups=looks,
            reports=self._reports(machines),
            ended={m.name: TasksEnded(m.failed, m.succeeded) for m in machines if m.failed or m.succeeded},
            spent=self.ledger.dollars,
            budget=self.budget,
            memory=self.memory,
            interval_seconds=self.world.interval_seconds,
        )

    def _depth(self, queue: str) -> QueueDepth:
        if self.finished_at is not None or queue != self.queue:
            return QueueDepth(0, 0)
        planned = self.workload.tiers[self.tier].seconds
        mean = self.measured / self.done if self.done >= ENOUGH_MEASURED else None
        return QueueDepth(len(self.ready), len(self.attempts), mean, sum(planned) / len(planned))

    def _reports(self, machines: Sequence[VirtualMachine]) -> dict[str, WorkerReport]:
        """What can be read; reports expire, so those of dead workers are simply not there."""
        if self.world.broker_is_down(self.now):
            return {}
        reports = {}
        for m in machines:
            if m.reports and not m.dead:
                oldest = self.now - next(iter(m.running.values()), self.now)
                memory = 0.2 + 0.6 * len(m.running) / m.group.slots
                reports[m.name] = WorkerReport(m.name, self.now, len(m.running), oldest, m.accepting, m.disk, memory)
        return reports

    def _count_money(self) -> None:
        made = {
            name: sum(m.made is not None for m in machines.values())
            for name, machines in self.provider.machines.items()
        }
        running = {self.queue: len(self.attempts)}
        self.ledger = self.ledger.after(Usage(self.now, made, {RUN: running}), list(self.provider.groups.values()))

    def _carry_out(self, decision: Decision) -> None:
        for group, names in decision.delete.items():
            self.provider.delete(group, names)
        for group, machines in self.provider.machines.items():
            for accepting, names in ((False, decision.drain), (True, decision.resume)):
                for machine in (machines[name] for name in names if name in machines):
                    self._tell(machine, accepting)
            if decision.targets.get(group, self.provider.target(group)) != self.provider.target(group):
                self.provider.resize(group, decision.targets[group])
        if decision.held and self.held_at is None:
            self.held_at = self._dollars()
        self.held = frozenset(decision.held)
        self._start_tasks()

    def _tell(self, machine: VirtualMachine, accepting: bool) -> None:
        if self.world.broker_is_down(self.now) or not machine.reports or machine.dead:
            return
        machine.accepting = accepting
        self._offer(machine)

    # The result.

    def _dollars(self) -> float:
        return sum(self.provider.paid(name) * group.price / 3600 for name, group in self.provider.groups.items())

    def _result(self) -> Result:
        hours = {name: self.provider.paid(name) / 3600 for name in self.provider.groups}
        busy = sum(self.busy.values()) / 3600
        return Result(
            policy=self.policy.name,
            workload=self.workload.name,
            finished=self.finished_at is not None,
            paused=self.stopped and self.finished_at is None,
            seconds=self.now if self.finished_at is None else self.finished_at,
            first_task=self.now if self.first_task is None else self.first_task,
            gone=self.now,
            dollars=self._dollars(),
            instance_hours=sum(hours.values()),
            idle_hours=sum(hours.values()) - busy,
            lost=self.lost,
            failed=self.failed,
            lost_hours=self.lost_slot_hours,
            most_instances=self.most,
            left_over=sum(len(machines) for machines in self.provider.machines.values()),
            ledger=self.ledger,
            dollars_when_held=self.held_at,
            hours_by_group=hours,
            tier_ends=tuple(self.tier_ends),
            targets=tuple(self.targets),
            reasons=tuple(self.reasons),
        )


def simulate(
    workload: Workload,
    groups: Sequence[Group],
    policy: Policy,
    world: World | None = None,
    *,
    seed: int = 0,
    budget: float | None = None,
    longest_days: float = 60.0,
) -> Result:
    """Run a workload to its end, until no instance is left; or until a used-up budget has paused it.

    What takes longer than `longest_days` of simulated time is broken off, unfinished.
    """
    return Simulator(workload, groups, policy, world or World(), seed, budget, longest_days).run()
