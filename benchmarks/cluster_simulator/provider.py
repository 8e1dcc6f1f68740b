"""A provider of machines that are only numbers: a `Driver`, on the simulator's clock."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from seuron.cluster.groups import Group, Instance, InstanceState, Shortage, ShortageKind

from .world import Outage, World

#: How often a provider tries again to make a machine, and for how long it remembers that it could not.
RETRY_SECONDS = 60.0
REMEMBERED_SECONDS = 600.0
#: Seconds of a machine that are paid for at least.
LEAST_PAID_SECONDS = 60.0


class Clock(Protocol):
    """What the provider needs of the simulator: the time, and to be called later."""

    now: float

    def at(self, time: float, call: Callable[[], None]) -> None: ...


@dataclass(eq=False)
class VirtualMachine:
    """One instance, and the worker on it. `made` is None until it exists and is paid for."""

    name: str
    group: Group
    created: float
    made: float | None = None
    reports: bool = False
    gone: bool = False
    dead: bool = False
    accepting: bool = True
    #: Whether it is in the scheduler's list of workers with a free slot.
    offered: bool = False
    bad: bool = False
    fills: bool = False
    disk: float = 0.1
    failed: int = 0
    succeeded: int = 0
    #: Attempts at work, oldest first: attempt number -> when it began.
    running: dict[int, float] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether its worker would take a task now."""
        free = len(self.running) < self.group.slots
        return self.reports and not self.gone and not self.dead and self.accepting and free

    @property
    def state(self) -> InstanceState:
        return "starting" if self.made is None else "running"


class VirtualGroups:
    """Groups that keep themselves at their target, as managed instance groups do: what is lost is made again.

    `begun` is called when a worker reports for the first time, `ended` when a machine or its worker is lost.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        world: World,
        clock: Clock,
        seed: int,
        begun: Callable[[VirtualMachine], None],
        ended: Callable[[VirtualMachine], None],
    ) -> None:
        self.groups = {group.name: group for group in groups}
        self.world, self.clock = world, clock
        self.random = random.Random(seed)
        self.begun, self.ended = begun, ended
        self.machines: dict[str, dict[str, VirtualMachine]] = {name: {} for name in self.groups}
        self.targets = dict.fromkeys(self.groups, 0)
        self.told: dict[str, list[Shortage]] = {name: [] for name in self.groups}
        self.paid_seconds = dict.fromkeys(self.groups, 0.0)
        self._numbers = itertools.count()

    # The interface of a driver.

    def instances(self, group: str) -> Sequence[Instance]:
        return [Instance(m.name, group, m.state, m.created) for m in self.machines[group].values()]

    def target(self, group: str) -> int:
        return self.targets[group]

    def resize(self, group: str, size: int) -> None:
        self.targets[group] = size
        self._fill(group)

    def delete(self, group: str, names: Sequence[str]) -> None:
        for name in names:
            machine = self.machines[group].get(name)
            if machine is not None:
                self.targets[group] -= 1
                self._remove(machine)

    def shortages(self, group: str) -> Sequence[Shortage]:
        self.told[group] = [s for s in self.told[group] if self.clock.now - s.time <= REMEMBERED_SECONDS]
        return self.told[group]

    # What happens to machines.

    def paid(self, group: str) -> float:
        """Instance-seconds of a group that are paid for until now."""
        alive = (m.made for m in self.machines[group].values() if m.made is not None)
        return self.paid_seconds[group] + sum(max(LEAST_PAID_SECONDS, self.clock.now - made) for made in alive)

    def _fill(self, group: str) -> None:
        silent = self._outage(group, "silent")
        if silent is not None:
            self.clock.at(silent.end, lambda: self._fill(group))
            return
        for _ in range(self.targets[group] - len(self.machines[group])):
            machine = VirtualMachine(f"{group}-{next(self._numbers)}", self.groups[group], self.clock.now)
            machine.bad = self.random.random() < self.world.bad_host_share
            machine.fills = self.random.random() < self.world.filling_host_share
            self.machines[group][machine.name] = machine
            self.clock.at(self.clock.now + self.world.make_seconds, lambda machine=machine: self._make(machine))  # type: ignore[misc]

    def _outage(self, group: str, *kinds: str) -> Outage | None:
        """The outage that keeps a group from getting one more machine now."""
        for outage in self.world.outages:
            if outage.kind in kinds and group in outage.groups and outage.begin <= self.clock.now < outage.end:
                made = sum(m.made is not None for name in outage.groups for m in self.machines[name].values())
                if made >= outage.left:
                    return outage
        return None

    def _make(self, machine: VirtualMachine) -> None:
        if machine.gone:
            return
        group, now, world = machine.group.name, self.clock.now, self.world
        outage = self._outage(group, "no_stock", "quota")
        if outage is not None:
            kind: ShortageKind = "quota" if outage.kind == "quota" else "no_stock"
            self.told[group].append(Shortage(group, kind, f"simulated for {machine.group.zone}", now))
            self.clock.at(now + RETRY_SECONDS, lambda: self._make(machine))
            return
        machine.made = now
        boot = world.boot_seconds * math.exp(self.random.gauss(0.0, world.boot_sigma))
        boot *= world.slow_boot_factor if self.random.random() < world.slow_boot_share else 1.0
        if self.random.random() >= world.never_boot_share:
            self.clock.at(now + boot, lambda: self._begin(machine))
        if machine.group.spot and world.spot_hours is not None:
            life = self.random.expovariate(1 / (3600 * world.spot_hours))
            self.clock.at(now + life, lambda: self.lose(machine))

    def _begin(self, machine: VirtualMachine) -> None:
        if machine.gone:
            return
        machine.reports = True
        if self.world.dead_hours is not None:
            life = self.random.expovariate(1 / (3600 * self.world.dead_hours))
            self.clock.at(self.clock.now + life, lambda: self.die(machine))
        self.begun(machine)

    def lose(self, machine: VirtualMachine) -> None:
        """The provider takes a machine back, and makes another when it can."""
        if not machine.gone:
            self._remove(machine)
            self._fill(machine.group.name)

    def die(self, machine: VirtualMachine) -> None:
        """The worker of a machine ends; the machine is paid for until somebody sees that."""
        if not machine.gone and not machine.dead:
            machine.dead = True
            self.ended(machine)

    def _remove(self, machine: VirtualMachine) -> None:
        machine.gone = True
        del self.machines[machine.group.name][machine.name]
        if machine.made is not None:
            self.paid_seconds[machine.group.name] += max(LEAST_PAID_SECONDS, self.clock.now - machine.made)
        self.ended(machine)
