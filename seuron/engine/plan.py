"""The nouns of a plan.

A plan is a row of stages; a stage is a row of tiers; a tier is a set of tasks that do not depend
on each other. Every task of a tier may start when the tier before it has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from seuron.box import Box, Triple

#: What a task needs besides memory: a core; a GPU, where there is one; or hardly anything, beside whoever
#: manages the others.
Work = Literal["cpu", "gpu", "manager"]

#: Tiers of an octree at most, leaves among them: four reach from one chunk to ten million.
OCTREE_TIERS = 5
#: The watershed's tiers between the leaves and the merges, by the layer of their tasks. There is a task for
#: each leaf: it closes the seams at the leaf's low faces; and, in volumes of many leaves, what is open around
#: the lines where these seams meet.
CLOSING = ("seams", "lines")
#: Rounds that a root which does not fit into memory shares out to other tasks, at most.
ROUNDS = 2

#: The stages of a segmentation, in order, and how many tiers each may have at most. Airflow draws
#: one row of nodes per tier, whatever the volume; tiers that a volume does not need are skipped.
MAX_TIERS: dict[str, int] = {
    "affinities": 1,
    "watershed": OCTREE_TIERS + len(CLOSING),
    "supervoxel_names": OCTREE_TIERS - 2,
    "agglomeration": OCTREE_TIERS + 2 * ROUNDS,
    "segment_names": OCTREE_TIERS - 2,
    "labels": 1,
    "pyramid": 4,
    "evaluation": 2,
    "report": 1,
}
STAGES: tuple[str, ...] = tuple(MAX_TIERS)
#: The stage that carries an octree stage's final names down again.
NAMING: dict[str, str] = {"watershed": "supervoxel_names", "agglomeration": "segment_names"}


@dataclass(frozen=True)
class Task:
    """One unit of work: it can be run twice, anywhere, and leaves the same bytes.

    `box` is in voxels of the run's scale. `children` are the tasks whose results it merges. `layer` is
    the layer that it works on, where there are several, or its part in a round of agglomeration, or what
    between leaves it closes (`CLOSING`).
    `seconds` and `memory_bytes` are estimates, from measured rates; which queue they lead to is said
    by `seuron.engine.queues`, as it depends on what there is.
    """

    id: str
    stage: str
    tier: int
    index: Triple
    box: Box
    work: Work
    layer: str = ""
    children: tuple[str, ...] = ()
    seconds: float = 0.0
    memory_bytes: int = 0

    @property
    def label(self) -> str:
        """What a person reads in the grid of tasks: layer and place."""
        place = f"({', '.join(str(i) for i in self.index)})"
        return f"{self.layer} {place}" if self.layer else f"{self.stage} {self.tier} {place}"


def task_id(stage: str, tier: int, index: Triple, layer: str = "") -> str:
    """A name that is unique in a run and safe in file names, such as `watershed-0-0_1_0`."""
    place = "_".join(str(i) for i in index)
    return "-".join([stage, str(tier), *([layer] if layer else []), place])


class Seam(NamedTuple):
    """Where two leaves of an octree lie against each other: their ids, the lower one first, and the axis."""

    below: str
    above: str
    axis: int


@dataclass(frozen=True)
class Stage:
    """One step of the method, as tiers of independent tasks."""

    name: str
    tiers: tuple[tuple[Task, ...], ...]

    @property
    def tasks(self) -> tuple[Task, ...]:
        return tuple(task for tier in self.tiers for task in tier)


@dataclass(frozen=True)
class Plan:
    """All stages of a run, in order."""

    stages: tuple[Stage, ...]

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """Every task by its id, in an order in which they may run."""
        return {task.id: task for stage in self.stages for task in stage.tasks}

    def stage(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)

    def tiers(self) -> Iterator[tuple[Task, ...]]:
        """The tiers of all stages, in order, empty ones left out."""
        for stage in self.stages:
            yield from (tier for tier in stage.tiers if tier)

    @cached_property
    def parents(self) -> dict[str, str]:
        """For each task of an octree but the root, the one that merges its result."""
        octrees = (self.stage(name) for name in NAMING)
        return {child: task.id for stage in octrees for task in stage.tasks for child in task.children}

    @cached_property
    def closing_tiers(self) -> int:
        """How many tiers lie between the watershed's leaves and its merges."""
        return sum(tier[0].layer in CLOSING for tier in self.stage("watershed").tiers)

    def watershed_of(self, merge: Task) -> str:
        """The watershed's merge of the same box as one of the agglomeration.

        The watershed has more tiers, which close seams; the agglomeration's root may be in a later one, behind rounds.
        """
        tiers = self.stage("watershed").tiers
        return task_id("watershed", min(merge.tier + self.closing_tiers, len(tiers) - 1), merge.index)

    def round_of(self, number: int) -> tuple[str, tuple[str, ...]] | None:
        """The task that splits the agglomeration's graph in a round, from 0, and those that agglomerate its bins.

        None where the plan has no such round.
        """
        tiers = [tier for tier in self.stage("agglomeration").tiers if tier[0].layer]
        if 2 * number >= len(tiers):
            return None
        (split,), bins = tiers[2 * number : 2 * number + 2]
        return split.id, tuple(task.id for task in bins)

    @cached_property
    def tellers(self) -> dict[str, str]:
        """For each merge of an octree, the task that tells its children their final names."""
        below = {task.children[0]: task.id for name in NAMING.values() for task in self.stage(name).tasks}
        roots = (self.stage(name).tiers[-1][0].id for name in NAMING)
        return {root: root for root in roots} | below

    def leaves(self, task_id: str) -> list[str]:
        """The leaf tasks below a task of an octree, or the task itself when it is one."""
        below = [task_id]
        while self.tasks[below[0]].children:
            below = [child for task in below for child in self.tasks[task].children]
        return below

    def seams_made(self, task_id: str) -> Iterator[Seam]:
        """The seams at the low faces of a seam task's leaf, which it makes of planes and closes."""
        (leaf,) = self.tasks[task_id].children
        for axis in range(3):
            below = self.beside(leaf, axis, -1)
            if below is not None:
                yield Seam(below, leaf, axis)

    def closers(self, task_id: str) -> Iterator[tuple[str, str]]:
        """The tasks that close what a leaf of the watershed, or the task that closes its seams, has left open.

        With each comes how it calls the task: `own`, or the axis along which that lies below its own.
        Nothing comes where there is nothing to close before the merges.
        """
        parent = self.parents.get(task_id)
        if parent is None or self.tasks[parent].layer not in CLOSING:
            return
        yield parent, "own"
        for axis in range(3):
            above = self.beside(task_id, axis, 1)
            if above is not None:
                yield self.parents[above], "xyz"[axis]

    def told_by(self, task_id: str) -> Iterator[str]:
        """The tasks from which is known what became of that which a task of an octree left open."""
        closers = [closer for closer, _ in self.closers(task_id)]
        for closer in closers:
            yield from (closer, *self.told_by(closer))
        if not closers and task_id in self.parents:
            yield self.tellers[self.parents[task_id]]

    def seams_closed(self, task_id: str) -> Iterator[Seam]:
        """The seams that lie inside a merge, but inside none of its children."""
        child_of = {leaf: child for child in self.tasks[task_id].children for leaf in self.leaves(child)}
        for leaf, child in child_of.items():
            for axis in range(3):
                below = self.beside(leaf, axis, -1)
                if below is not None and child_of.get(below, child) != child:
                    yield Seam(below, leaf, axis)

    def beside(self, task: str, axis: int, step: int) -> str | None:
        """The task that lies against another one's low (-1) or high (1) face; None where the volume ends."""
        own = self.tasks[task]
        x, y, z = (i + step * (axis == other) for other, i in enumerate(own.index))
        found = task_id(own.stage, own.tier, (x, y, z), own.layer)
        return found if found in self.tasks else None

    def to_json(self) -> list[dict[str, Any]]:
        """The stages as plain data, for readers of plan.json."""
        return [asdict(stage) for stage in self.stages]
