"""Situations for the scaling policy: hypothesis strategies, and a cluster of numbers that obeys decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import strategies as st
from pydantic import TypeAdapter

from seuron.cluster.cluster_state import (
    ClusterState,
    Decision,
    Draining,
    GroupMemory,
    GroupState,
    PolicyMemory,
    QueueDepth,
    TasksEnded,
)
from seuron.cluster.groups import Group, Instance, Shortage, WorkerReport
from seuron.cluster.policy import decide
from seuron.cluster.settings import PolicySettings

_MEMORY = TypeAdapter(PolicyMemory)
NOW = 1_000_000.0
QUEUES = ("cpu", "memory")


def through_json(memory: PolicyMemory) -> PolicyMemory:
    """As the next step reads it."""
    return _MEMORY.validate_json(_MEMORY.dump_json(memory))


def group(name: str = "a", queue: str = "cpu", **changes: object) -> Group:
    fields = {"zone": f"zone-{name}", "slots": 1, "memory_bytes": 2**32, "max_size": 100, "price": 1.0}
    return Group(name, queue, **{**fields, **changes})  # type: ignore[arg-type]


def instance(name: str, of: str = "a", state: str = "running", age: float = 5000.0) -> Instance:
    return Instance(name, of, state, NOW - age)  # type: ignore[arg-type]


def report(name: str, running: int = 0, *, ago: float = 5.0, oldest: float = 0.0, **changes: object) -> WorkerReport:
    fields = {"accepting": True, "disk": 0.1, "memory": 0.3}
    return WorkerReport(name, NOW - ago, running, oldest, **{**fields, **changes})  # type: ignore[arg-type]


def times(longest: float = 4000.0) -> st.SearchStrategy[float | None]:
    """A moment before now, or never."""
    return st.none() | st.floats(0, longest).map(lambda ago: NOW - ago)


def depths() -> st.SearchStrategy[QueueDepth]:
    seconds = st.none() | st.floats(0.1, 20_000)
    return st.builds(QueueDepth, st.integers(0, 3) | st.integers(0, 30_000), st.integers(0, 50), seconds, seconds)


@st.composite
def looks(draw: st.DrawFn, number: int) -> tuple[GroupState, dict[str, WorkerReport]]:
    """A group with instances in every state, and reports of some of them, fresh and old."""
    name = f"group-{number}"
    made = Group(
        name,
        draw(st.sampled_from(QUEUES)),
        f"zone-{draw(st.integers(0, 2))}",
        draw(st.integers(1, 8)),
        2**32,
        draw(st.integers(0, 40)),
        draw(st.sampled_from([0.0, 0.1, 0.1, 0.5, 2.0])),
        spot=draw(st.booleans()),
    )
    instances, reports = [], {}
    for i in range(draw(st.integers(0, 6))):
        state = draw(st.sampled_from(["starting", "running", "running", "running", "stopping"]))
        found = instance(f"{name}-{i}", name, state, draw(st.floats(0, 3000)))
        instances.append(found)
        if state == "running" and draw(st.integers(0, 4)):
            running = draw(st.integers(0, made.slots))
            reports[found.name] = report(
                found.name,
                running,
                ago=draw(st.sampled_from([1.0, 20.0, 20.0, 400.0])),
                oldest=draw(st.floats(0, 5000)) if running else 0.0,
                accepting=draw(st.booleans()),
                disk=draw(st.sampled_from([0.1, 0.99])),
                memory=draw(st.sampled_from([0.1, 0.99])),
            )
    live = sum(found.state != "stopping" for found in instances)
    shortages = draw(
        st.lists(st.builds(Shortage, st.just(name), st.just("no_stock"), st.just("none"), st.just(NOW - 9)), max_size=1)
    )
    return GroupState(made, tuple(instances), live + draw(st.integers(0, 3)), tuple(shortages)), reports


@st.composite
def situations(draw: st.DrawFn) -> ClusterState:
    """Any situation, also those that no policy would have led to."""
    found = [draw(looks(number)) for number in range(draw(st.integers(0, 4)))]
    groups = tuple(look for look, _ in found)
    reports = {name: told for _, reports in found for name, told in reports.items()}
    names = [made.name for look in groups for made in look.live]
    some = st.lists(st.sampled_from(names), unique=True) if names else st.just([])
    causes = st.sampled_from(["surplus", "sick", "budget"])
    memory = PolicyMemory(
        began=draw(times()),
        groups={
            look.group.name: GroupMemory(draw(times(500)), draw(times(500)), draw(st.integers(0, 200)), draw(times(9)))
            for look in groups
        },
        peaks={queue: ((NOW - draw(st.floats(0, 500)), draw(st.integers(0, 60))),) for queue in QUEUES},
        seen={name: NOW - draw(st.floats(0, 3000)) for name in draw(some)},
        full_since={name: NOW - draw(st.floats(0, 300)) for name in draw(some)},
        draining={name: Draining(NOW - draw(st.floats(0, 500)), draw(causes)) for name in draw(some)},
        held_budget=draw(st.none() | st.just(50.0)),
    )
    return ClusterState(
        NOW,
        {queue: draw(depths()) for queue in QUEUES},
        groups,
        reports,
        {name: TasksEnded(draw(st.integers(0, 9)), draw(st.integers(0, 9))) for name in draw(some)},
        draw(st.floats(0, 120)),
        draw(st.none() | st.sampled_from([50.0, 100.0])),
        memory,
    )


@dataclass
class Obedient:
    """A cluster whose instances begin after two looks and do what they are told; tasks go where there is room."""

    groups: tuple[Group, ...]
    settings: PolicySettings
    now: float = NOW
    memory: PolicyMemory = field(default_factory=PolicyMemory)
    instances: dict[str, Instance] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    targets: dict[str, int] = field(default_factory=dict)
    made: int = 0
    spent: float = 0.0

    def look(self, queues: Mapping[str, QueueDepth], seconds: float = 30.0) -> tuple[ClusterState, Decision]:
        """One look; the tasks of `queues` that run are on the first instances with room, closed ones as well."""
        self.now += seconds
        running = {queue: depth.running for queue, depth in queues.items()}
        reports = {}
        for found in self.instances.values():
            if self.now - found.created > 60:
                made = next(g for g in self.groups if g.name == found.group)
                tasks = min(made.slots, running[made.queue])
                running[made.queue] -= tasks
                told = WorkerReport(found.name, self.now, tasks, 1.0, found.name not in self.closed, 0.1, 0.1)
                reports[found.name] = told
        looks = tuple(
            GroupState(g, tuple(i for i in self.instances.values() if i.group == g.name), self.targets.get(g.name, 0))
            for g in self.groups
        )
        situation = ClusterState(self.now, queues, looks, reports, spent=self.spent, memory=self.memory)
        decision = decide(situation, self.settings)
        self._obey(decision)
        return situation, decision

    def _obey(self, decision: Decision) -> None:
        self.memory = through_json(decision.memory)
        for name in (name for names in decision.delete.values() for name in names):
            del self.instances[name]
        self.closed = (self.closed | set(decision.drain)) - set(decision.resume)
        for name, target in decision.targets.items():
            self.targets[name] = target
            for _ in range(target - sum(found.group == name for found in self.instances.values())):
                self.made += 1
                new = f"{name}-{self.made}"
                self.instances[new] = Instance(new, name, "running", self.now)
