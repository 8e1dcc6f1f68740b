"""The policies that are compared: ours, pools of a fixed size, and the reference system's rule.

The reference (docs/scaling-policy.md says from where its rule is known) begins a stage with a few instances
and looks every 20 minutes: a group of which 90 % have come and which is smaller than the queue asks for
is doubled, what another could not make moves to the next group, and all is removed at the stage's end,
which is when the queue was seen empty twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from seuron.cluster.cluster_state import ClusterState, Decision, GroupState, PolicyMemory
from seuron.cluster.policy import decide
from seuron.cluster.settings import PolicySettings


@dataclass
class Ours:
    """The policy of the project."""

    settings: PolicySettings = field(default_factory=PolicySettings)
    name: str = "seuron"

    def decide(self, state: ClusterState, finished: bool) -> Decision:
        return decide(state, self.settings)


def _plain(
    targets: Mapping[str, int], delete: Mapping[str, tuple[str, ...]], reasons: tuple[str, ...] = ()
) -> Decision:
    return Decision(dict(targets), delete, (), (), (), PolicyMemory(), reasons)


def _everything(state: ClusterState) -> Decision:
    """Remove all instances at once."""
    delete = {look.group.name: tuple(instance.name for instance in look.live) for look in state.groups}
    return _plain(dict.fromkeys(delete, 0), {name: names for name, names in delete.items() if names})


@dataclass
class FixedPool:
    """So many instances for each queue, in the cheapest groups that hold them: for as long as the run takes.

    With `by_stage`, only while a queue has tasks, as a person would who watches the run: all are there at
    once when it gets some, and all go when it was seen empty twice.
    """

    sizes: Mapping[str, int]
    name: str = "fixed"
    by_stage: bool = False
    empty: dict[str, int] = field(default_factory=dict)

    def decide(self, state: ClusterState, finished: bool) -> Decision:
        if finished:
            return _everything(state)
        left = {queue: self._size(queue, depth.tasks) for queue, depth in state.queues.items()}
        targets, delete = {}, {}
        for look in sorted(state.groups, key=_price):
            name, queue = look.group.name, look.group.queue
            targets[name] = min(look.group.max_size, left.get(queue, 0))
            left[queue] = left.get(queue, 0) - targets[name]
            if not targets[name] and look.live:
                delete[name] = tuple(instance.name for instance in look.live)
        return _plain(targets, delete)

    def _size(self, queue: str, tasks: int) -> int:
        self.empty[queue] = 0 if tasks else self.empty.get(queue, 2) + 1
        return self.sizes.get(queue, 0) if not self.by_stage or self.empty[queue] < 2 else 0


def _price(look: GroupState) -> tuple[float, str]:
    return look.group.price / look.group.slots, look.group.name


@dataclass
class Reference:
    """The reference's rule, with its numbers."""

    name: str = "reference"
    initial: Mapping[str, int] = field(default_factory=lambda: {"cpu": 20, "memory": 2, "gpu": 20})
    resize_seconds: float = 1200.0
    heartbeat_seconds: float = 420.0
    #: A worker is dead after so long without a heartbeat, unless its instance is younger than this.
    silent_seconds: float = 300.0
    young_seconds: float = 600.0
    requested: dict[str, int] = field(default_factory=dict)
    active: set[str] = field(default_factory=set)
    seen_empty: set[str] = field(default_factory=set)
    last_resize: float = 0.0
    last_heartbeat: float = 0.0
    seen: dict[str, float] = field(default_factory=dict)

    def decide(self, state: ClusterState, finished: bool) -> Decision:
        for name, report in state.reports.items():
            self.seen[name] = report.time
        delete: dict[str, tuple[str, ...]] = {}
        resize = state.now - self.last_resize >= self.resize_seconds
        if resize:
            self.last_resize = state.now
        self.seen_empty -= {queue for queue, depth in state.queues.items() if depth.tasks}
        for queue, depth in state.queues.items():
            looks = sorted((look for look in state.groups if look.group.queue == queue), key=_price)
            if not depth.tasks and queue in self.seen_empty:
                self._ramp_down(queue, looks, delete)
            elif not depth.tasks:
                self.seen_empty.add(queue)
            elif queue not in self.active:
                self._ramp_up(queue, looks, depth.tasks)
            elif resize:
                self._resize(looks, depth.tasks)
        if state.now - self.last_heartbeat >= self.heartbeat_seconds:
            self.last_heartbeat = state.now
            self._delete_dead(state, delete)
        return _plain({look.group.name: self.requested.get(look.group.name, 0) for look in state.groups}, delete)

    def _ramp_down(self, queue: str, looks: list[GroupState], delete: dict[str, tuple[str, ...]]) -> None:
        self.active.discard(queue)
        for look in looks:
            self.requested[look.group.name] = 0
            delete[look.group.name] = tuple(instance.name for instance in look.live)

    def _ramp_up(self, queue: str, looks: list[GroupState], tasks: int) -> None:
        self.active.add(queue)
        left = min(self.initial.get(queue, 2), tasks)
        for look in looks:
            self.requested[look.group.name] = min(left, look.group.max_size)
            left -= self.requested[look.group.name]

    def _resize(self, looks: list[GroupState], tasks: int) -> None:
        """Fill the groups one after the other; what a group could not make goes to the next."""
        slots = tasks
        moved = 0
        for look in looks:
            group, asked = look.group, self.requested.get(look.group.name, 0)
            target = min(group.max_size, -(-slots // group.slots) + moved)
            slots = max(0, slots - target * group.slots)
            current = sum(instance.state == "running" for instance in look.live)
            if current < 0.9 * asked:
                moved = asked - current
                self.requested[group.name] = min(asked, current + 1)
            elif asked < target:
                self.requested[group.name] = min(target, max(1, 2 * asked), group.max_size)
                moved = 0

    def _delete_dead(self, state: ClusterState, delete: dict[str, tuple[str, ...]]) -> None:
        """Dead instances are made again, because the group keeps its size."""
        for look in state.groups:
            dead = tuple(i.name for i in look.live if self._is_dead(i.name, i.created, state.now, len(look.live)))
            if dead and look.group.name not in delete:
                delete[look.group.name] = dead

    def _is_dead(self, name: str, created: float, now: float, size: int) -> bool:
        patience = 4 if size <= 4 else 1
        silent = now - self.seen.get(name, created)
        return silent > self.silent_seconds * patience and now - created > self.young_seconds
