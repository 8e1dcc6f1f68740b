"""The octrees of a segmentation's plan: who merges whom, which leaves lie side by side, and who knows final ids.

All of it follows from the tasks' places in their grids, so nothing is stored, and asking costs the same for any plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from seuron.box import Box, Triple, triple
from seuron.engine.plan import Plan, Task, Tier
from seuron.pipelines.segmentation.plan import CLOSING, REMAPPING, child_places


class LeafSeam(NamedTuple):
    """Where two leaves of an octree lie against each other: the lower one first, and the axis."""

    below: Task
    above: Task
    axis: int


class Octree:
    """The tasks of the watershed or of the agglomeration: leaves, what closes seams between them, and merges."""

    def __init__(self, plan: Plan, stage: str) -> None:
        tiers = plan.stage(stage).tiers
        #: Leaves, those that close seams and lines, and merges, without the rounds of an agglomeration.
        self.levels = [tier for tier in tiers if tier.role in ("leaf", *CLOSING, "merge")]
        self.leaves = self.levels[0]
        self.merges = [tier for tier in self.levels if tier.role == "merge"]
        self.remaps = plan.stage(REMAPPING[stage]).tiers
        self._level = {tier.number: level for level, tier in enumerate(self.levels)}
        #: How many cells of each level a cell of the next one has along each axis.
        self._ratios = [_ratio(above, below) for below, above in pairwise(self.levels)]

    @property
    def root(self) -> Task:
        """The last task, which sees everything."""
        return self.levels[-1][0]

    def is_root(self, task: Task) -> bool:
        return self._level.get(task.tier) == len(self.levels) - 1

    def children(self, task: Task) -> Iterator[Task]:
        """The tasks whose results a task joins: those of a merge, or the one that a closing task closes for."""
        level = self._level.get(task.tier, 0)
        if level == 0:
            return
        below = self.levels[level - 1]
        for index in child_places(below, task.index, self._ratios[level - 1]):
            found = below.at(index)
            assert found is not None
            yield found

    def parent(self, task: Task) -> Task | None:
        """The task that joins the result of another one; None for the root."""
        level = self._level[task.tier]
        if level == len(self.levels) - 1:
            return None
        (i, j, k), (x, y, z) = task.index, self._ratios[level]
        return self.levels[level + 1].at((i // x, j // y, k // z))

    def beside(self, task: Task, axis: int, step: int) -> Task | None:
        """The task that lies against another one's low (-1) or high (1) face; None where the volume ends."""
        x, y, z = task.index
        place = (x + step * (axis == 0), y + step * (axis == 1), z + step * (axis == 2))
        return self.levels[self._level[task.tier]].at(place)

    def below(self, task: Task) -> Iterator[Task]:
        """All tasks below a task, level by level, the nearest first."""
        places = Box.from_shape(task.index, (1, 1, 1))
        for level in range(self._level[task.tier] - 1, -1, -1):
            places = _children_of(places, self._ratios[level])
            yield from self.levels[level].within(places)

    def leaves_of(self, task: Task) -> Box:
        """The places of the leaves below a task, or that of the task itself when it is one."""
        places = Box.from_shape(task.index, (1, 1, 1))
        for level in range(self._level[task.tier] - 1, -1, -1):
            places = _children_of(places, self._ratios[level])
        return places.intersect(self.leaves.indices)

    def seams_made(self, task: Task) -> Iterator[LeafSeam]:
        """The seams at the low faces of a seam task's leaf, which it makes of planes and closes."""
        (leaf,) = self.children(task)
        for axis in range(3):
            below = self.beside(leaf, axis, -1)
            if below is not None:
                yield LeafSeam(below, leaf, axis)

    def seams_closed(self, merge: Task) -> Iterator[LeafSeam]:
        """The seams that lie inside a merge, but inside none of its children."""
        whole = self.leaves_of(merge)
        for child in self.children(merge):
            mine = self.leaves_of(child)
            for axis in range(3):
                if mine.minimum[axis] > whole.minimum[axis]:
                    yield from self._seams_below(mine, axis)

    def _seams_below(self, leaves: Box, axis: int) -> Iterator[LeafSeam]:
        """The seams at the low face along an axis of a box of leaves."""
        top = triple([low + 1 if axis == a else high for a, (low, high) in enumerate(_ends(leaves))])
        for above in self.leaves.within(Box(leaves.minimum, top)):
            below = self.beside(above, axis, -1)
            if below is not None:
                yield LeafSeam(below, above, axis)

    def closers(self, task: Task) -> Iterator[tuple[Task, str]]:
        """The tasks that close what a leaf of the watershed, or the task that closes its seams, has left open.

        With each comes how it calls the task: `own`, or the axis along which that lies below its own.
        Nothing comes where there is nothing to close before the merges.
        """
        parent = self.parent(task)
        if parent is None or parent.role not in CLOSING:
            return
        yield parent, "own"
        for axis in range(3):
            above = self.beside(task, axis, 1)
            if above is not None and (closer := self.parent(above)) is not None:
                yield closer, "xyz"[axis]

    def remap_source(self, merge: Task) -> Task:
        """The task that gives the children of a merge their final ids: the root itself, or a task that remaps."""
        if self.is_root(merge):
            return merge
        found = self.remaps[len(self.merges) - 2 - self._merge_level(merge)].at(merge.index)
        assert found is not None
        return found

    def merge_of(self, remap: Task) -> Task:
        """The merge to whose children a task gives their final ids."""
        found = self.merges[len(self.merges) - 2 - remap.tier].at(remap.index)
        assert found is not None
        return found

    def remap_sources(self, task: Task) -> Iterator[Task]:
        """The tasks from which is known what became of that which a task of the octree left open."""
        closers = [closer for closer, _ in self.closers(task)]
        for closer in closers:
            yield closer
            yield from self.remap_sources(closer)
        parent = None if closers else self.parent(task)
        if parent is not None:
            yield self.remap_source(parent)

    def merge_like(self, merge: Task, other: Octree) -> Task:
        """This octree's merge of the same box as a merge, or a leaf that is the root, of another one."""
        level = self.merges[other._merge_level(merge)] if merge.role == "merge" else self.levels[-1]
        found = level.at(merge.index)
        assert found is not None
        return found

    def _merge_level(self, merge: Task) -> int:
        return next(level for level, tier in enumerate(self.merges) if tier.number == merge.tier)


@lru_cache(maxsize=8)
def watershed_octree(plan: Plan) -> Octree:
    return Octree(plan, "watershed")


@lru_cache(maxsize=8)
def agglomeration_octree(plan: Plan) -> Octree:
    return Octree(plan, "agglomeration")


def round_of(plan: Plan, number: int) -> tuple[Task, Tier] | None:
    """The task that splits the agglomeration's graph in a round, from 0, and those that agglomerate its bins.

    None where the plan has no such round.
    """
    tiers = [tier for tier in plan.stage("agglomeration").tiers if tier.role in ("split", "bin")]
    return None if 2 * number >= len(tiers) else (tiers[2 * number][0], tiers[2 * number + 1])


def _ratio(above: Tier, below: Tier) -> Triple:
    """How many cells of the tier below a cell of a tier has along each axis."""
    assert above.cell is not None
    assert below.cell is not None
    return triple([a // b for a, b in zip(above.cell, below.cell, strict=True)])


def _children_of(places: Box, ratio: Triple) -> Box:
    low, high = (triple([i * r for i, r in zip(ends, ratio, strict=True)]) for ends in (places.minimum, places.maximum))
    return Box(low, high)


def _ends(box: Box) -> Iterator[tuple[int, int]]:
    return zip(box.minimum, box.maximum, strict=True)
