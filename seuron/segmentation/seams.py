"""Seams between leaf tasks: made of their planes once, then read by whichever merge closes them.

The seam through the low face of a leaf along an axis is a table of the merge above that leaf in the
first tier, which makes the seams of all its leaves, those on its own outer faces included: the planes
of all leaves are there when it starts.
"""

from __future__ import annotations

from collections.abc import Iterator

from abiss_py import Faces, Seam, affinity_type, seam_of
from seuron.box import Triple, triple
from seuron.planning import Task
from seuron.planning.plan import task_id
from seuron.runs import Run
from seuron.segmentation.chunks import chunks_of, place_of
from seuron.segmentation.columns import read_planes, read_seam, write_seam


def make_seams(run: Run, task: Task) -> int:
    """Write the seams at the low faces of all leaves of a first-tier merge; returns how many rows."""
    rows, target = 0, run.tables(task.id)
    for leaf in (run.plan.tasks[child] for child in task.children):
        for axis in range(3):
            below = run.plan.tasks.get(neighbour(leaf, axis))
            if below is not None:
                seam = _between(run, below, leaf, axis)
                write_seam(target, _name(leaf.index, axis), seam)
                rows += len(seam)
    return rows


def closed_seams(run: Run, task: Task) -> Iterator[tuple[Task, Task, Seam]]:
    """The seams that lie inside a merge but inside none of its children: leaf below, leaf above, seam.

    Clusters go by the names they had in their chunks.
    """
    child_of = {leaf: child for child in task.children for leaf in run.plan.leaves(child)}
    for leaf, child in child_of.items():
        for axis in range(3):
            above = run.plan.tasks[leaf]
            below = neighbour(above, axis)
            if below in child_of and child_of[below] != child:
                tables = run.tables(run.plan.parents[leaf])
                yield run.plan.tasks[below], above, read_seam(tables, _name(above.index, axis))


def neighbour(leaf: Task, axis: int) -> str:
    """The leaf below a leaf along an axis; no task has that id where the volume ends."""
    return task_id(leaf.stage, 0, triple([i - (axis == other) for other, i in enumerate(leaf.index)]))


def _between(run: Run, below: Task, above: Task, axis: int) -> Seam:
    kind = affinity_type(run.affinity_dtype)
    low, high = (_planes(run, leaf, (axis, side)) for leaf, side in ((below, 1), (above, 0)))
    return Seam.join([seam_of(*pair, axis, kind) for pair in zip(low, high, strict=True)])


def _planes(run: Run, leaf: Task, side: tuple[int, int]) -> list[Faces]:
    places = [place_of(run, box) for _, box in chunks_of(run, leaf)]
    return read_planes(run.tables(leaf.id), place_of(run, leaf.box), places, side)


def _name(leaf: Triple, axis: int) -> str:
    return f"seam-{'xyz'[axis]}-{'_'.join(str(i) for i in leaf)}"
