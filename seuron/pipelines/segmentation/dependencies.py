"""Which tasks a task reads: the one declaration that keys, checks and explanations follow.

A task may read the results of a stage before its own, of the tier below it, and, where it needs the
final names of clusters, of the tasks that tell these to their leaves.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import product

from seuron.box import Box
from seuron.engine.plan import CLOSING, ROUNDS, Plan, Task, task_id


class Readers:
    """Answers which tasks each task of a plan reads."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._tiers: dict[tuple[str, int, str], _Tier] = {}

    def of(self, task: Task) -> tuple[str, ...]:
        """The ids of the tasks whose results `task` reads, each once, in the plan's order of stages."""
        return tuple(dict.fromkeys(_READS[task.stage](self, task)))

    def meeting(self, stage: str, tier: int, box: Box, layer: str = "") -> list[str]:
        """The tasks of a tier whose boxes share voxels with `box`."""
        at = (stage, tier, layer)
        if at not in self._tiers:
            self._tiers[at] = _Tier([t for t in self.plan.stage(stage).tiers[tier] if t.layer == layer])
        return self._tiers[at].meeting(box)

    def named(self, leaves: Iterable[str]) -> Iterator[str]:
        """Leaves of an octree stage, and who tells them the final names of their clusters."""
        for leaf in leaves:
            yield from (leaf, *self.plan.told_by(leaf))


class _Tier:
    """The tasks of a tier, to be looked up by place. Their boxes are the cells of one grid, cut to the run's box."""

    def __init__(self, tasks: list[Task]) -> None:
        self._by_corner = {task.box.minimum: task.id for task in tasks}
        #: Where cells begin, for each axis.
        self._starts = [sorted({task.box.minimum[axis] for task in tasks}) for axis in range(3)]

    def meeting(self, box: Box) -> list[str]:
        ranges = []
        for starts, low, high in zip(self._starts, box.minimum, box.maximum, strict=True):
            ranges.append(starts[max(0, bisect_right(starts, low) - 1) : bisect_left(starts, high)])
        return [self._by_corner[x, y, z] for z, y, x in product(*reversed(ranges))]


def padded(box: Box) -> Box:
    """What a watershed leaf reads: one voxel more on the high sides, so that all six edges of its voxels are known."""
    return box.grown((0, 0, 0), (1, 1, 1))


def _nothing(readers: Readers, task: Task) -> Iterator[str]:
    yield from ()


def _watershed(readers: Readers, task: Task) -> Iterator[str]:
    plan = readers.plan
    yield from task.children
    if task.tier == 0 and plan.stage("affinities").tasks:
        yield from readers.meeting("affinities", 0, padded(task.box))
    if task.layer in CLOSING:
        (own,) = task.children
        yield from (below for axis in range(3) if (below := plan.beside(own, axis, -1)) is not None)


def _naming(readers: Readers, task: Task) -> Iterator[str]:
    (merge,) = task.children
    plan = readers.plan
    yield merge
    yield from plan.tasks[merge].children
    yield plan.tellers[plan.parents[merge]]


def _agglomeration(readers: Readers, task: Task) -> Iterator[str]:
    plan = readers.plan
    if task.tier == 0:
        yield from readers.named([task_id("watershed", 0, task.index)])
        return
    rounds = [found for found in map(plan.round_of, range(ROUNDS)) if found is not None]
    if task.layer == "bin":
        yield rounds[task.index[0]][0]
        return
    earlier = rounds[: task.index[0]] if task.layer else rounds if task.id not in plan.parents else []
    for split, bins in earlier:
        yield from (split, *bins)
    merge = plan.stage("agglomeration").tiers[-1][0] if task.layer else task
    if not (task.layer and earlier):
        yield from _waiting(readers, merge)


def _waiting(readers: Readers, merge: Task) -> Iterator[str]:
    """What a merge decides: the contacts that wait below it, and those through the seams that it closes."""
    plan, below = readers.plan, list(merge.children)
    while below:  # a task may have passed on what others left
        yield from below
        below = [child for task in below for child in plan.tasks[task].children]
    for seam in plan.seams_closed(plan.watershed_of(merge)):
        seams = plan.parents[seam.above]
        yield from (seam.below, seam.above, seams, *plan.told_by(seams))


def _labels(readers: Readers, task: Task) -> Iterator[str]:
    for stage in ("watershed", "agglomeration"):
        yield from readers.named(readers.meeting(stage, 0, task.box))


def _pyramid(readers: Readers, task: Task) -> Iterator[str]:
    if task.tier > 0:
        yield from readers.meeting("pyramid", task.tier - 1, task.box, task.layer)
    else:
        yield from readers.meeting("affinities" if task.layer == "affinities" else "labels", 0, task.box)


def _evaluation(readers: Readers, task: Task) -> Iterator[str]:
    yield from task.children
    if task.tier == 0:
        yield from readers.meeting("labels", 0, task.box)
    else:
        yield from (other.id for other in readers.plan.stage("agglomeration").tasks)


def _everything(readers: Readers, task: Task) -> Iterator[str]:
    yield from (other for other in readers.plan.tasks if other != task.id)


_READS: dict[str, Callable[[Readers, Task], Iterator[str]]] = {
    "affinities": _nothing,
    "watershed": _watershed,
    "supervoxel_names": _naming,
    "agglomeration": _agglomeration,
    "segment_names": _naming,
    "labels": _labels,
    "pyramid": _pyramid,
    "evaluation": _evaluation,
    "report": _everything,
}
