"""What the policy sees at one step, and what it keeps in mind until the next.

Times are seconds since 1970, of one clock or of clocks that agree within a few seconds. Lengths are
in seconds, money in dollars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from seuron.cluster.groups import Group, Instance, Shortage, WorkerReport

#: Why an instance takes no more tasks: too many slots, a fault of its own, or no money left.
DrainCause = Literal["surplus", "sick", "budget"]


@dataclass(frozen=True)
class QueueDepth:
    """The tasks of a queue: waiting for a slot, running, and how long one takes, measured and by the plan."""

    ready: int
    running: int
    mean_seconds: float | None = None
    planned_seconds: float | None = None

    @property
    def tasks(self) -> int:
        return self.ready + self.running

    @property
    def task_seconds(self) -> float | None:
        """How long a task takes: measured where anything was, else planned."""
        return self.mean_seconds or self.planned_seconds


@dataclass(frozen=True)
class GroupState:
    """A group as its driver shows it: instances, the size asked for last, and what kept it from growing."""

    group: Group
    instances: tuple[Instance, ...] = ()
    target: int = 0
    shortages: tuple[Shortage, ...] = ()

    @property
    def live(self) -> tuple[Instance, ...]:
        """The instances that are not being removed."""
        return tuple(instance for instance in self.instances if instance.state != "stopping")


@dataclass(frozen=True)
class TasksEnded:
    """How many tasks have ended on an instance in its life; errors that another try cannot fix do not count."""

    failed: int = 0
    succeeded: int = 0

    @property
    def share(self) -> float:
        """The share that failed; 0 where none has ended."""
        return self.failed / max(1, self.failed + self.succeeded)


@dataclass(frozen=True)
class GroupMemory:
    """When a group was grown and shrunk last, and for how long it rests after how many shortages in a row."""

    grown: float | None = None
    shrunk: float | None = None
    rests: int = 0
    rest_until: float | None = None
    shortage_seen: float | None = None


@dataclass(frozen=True)
class Draining:
    """Since when an instance was drained, and why."""

    since: float
    cause: DrainCause


@dataclass(frozen=True)
class Replaced:
    """How often in a row a queue's tasks were called stuck, when last, and what its instances had done by then.

    A task that is truly long would be called stuck each time that it is begun. So in a row are tasks of which
    each began after the one before was called stuck, while nothing of the queue ended well.
    """

    times: int
    time: float
    succeeded: Mapping[str, int]


@dataclass(frozen=True)
class PolicyMemory:
    """What the policy keeps from one look to the next; an empty one is a fresh start.

    `peaks` are the slots that a queue had use for lately, `seen` the last report of each instance,
    `full_since` when its memory became too full, `stuck` the queues whose tasks were called stuck lately,
    `held_budget` the budget that was used up.
    """

    began: float | None = None
    groups: Mapping[str, GroupMemory] = field(default_factory=dict)
    peaks: Mapping[str, tuple[tuple[float, int], ...]] = field(default_factory=dict)
    seen: Mapping[str, float] = field(default_factory=dict)
    full_since: Mapping[str, float] = field(default_factory=dict)
    stuck: Mapping[str, Replaced] = field(default_factory=dict)
    draining: Mapping[str, Draining] = field(default_factory=dict)
    held_budget: float | None = None


@dataclass(frozen=True)
class ClusterState:
    """All that a decision depends on.

    A group whose queue is not in `queues` is left as it is: its depth could not be read. `reports` are
    the last ones of each worker, by instance; one that is missing counts as silent. `budget` None is
    no limit; `interval_seconds` is how long it takes until the next look, at most.
    """

    now: float
    queues: Mapping[str, QueueDepth]
    groups: tuple[GroupState, ...]
    reports: Mapping[str, WorkerReport] = field(default_factory=dict)
    ended: Mapping[str, TasksEnded] = field(default_factory=dict)
    spent: float = 0.0
    budget: float | None = None
    memory: PolicyMemory = field(default_factory=PolicyMemory)
    interval_seconds: float = 0.0


@dataclass(frozen=True)
class Decision:
    """What is to be done, in this order: delete, drain, resume, then ask for the targets.

    `targets` has the size of every group once `delete` is done. It is below the size asked for only
    by what was deleted, or by instances that were asked for and never came: asking for it hits nobody.
    `held` are the queues with ready tasks that get nothing because the budget is used up: their runs are
    to be paused. `reasons` has a sentence for every change.
    """

    targets: Mapping[str, int]
    delete: Mapping[str, tuple[str, ...]]
    drain: tuple[str, ...]
    resume: tuple[str, ...]
    held: tuple[str, ...]
    memory: PolicyMemory
    reasons: tuple[str, ...]
