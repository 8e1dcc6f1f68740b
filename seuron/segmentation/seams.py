"""Seams between leaf tasks: made of their planes once, then read by whichever merge closes them.

The seam through the low face of a leaf along an axis is a table of the merge above that leaf in the
first tier, which makes the seams of all its leaves, those on its own outer faces included: the planes
of all leaves are there when it starts.
"""

from __future__ import annotations

from collections.abc import Iterator

from abiss_py import Faces, Seam, affinity_type, seam_of
from seuron.planning import Task
from seuron.planning.plan import Seam as PlannedSeam
from seuron.runs import Run
from seuron.segmentation.chunks import chunks_of, place_of
from seuron.segmentation.columns import read_planes, read_seam, seam_name, write_seam


def make_seams(run: Run, task: Task) -> int:
    """Write the seams at the low faces of all leaves of a first-tier merge; returns how many rows."""
    rows = 0
    for planned in run.plan.seams_made(task.id):
        seam = _between(run, planned)
        write_seam(run.tables(task.id), seam_name(run.plan.tasks[planned.above].index, planned.axis), seam)
        rows += len(seam)
    return rows


def closed_seams(run: Run, task: Task) -> Iterator[tuple[PlannedSeam, Seam]]:
    """The seams that a merge closes. Clusters go by the names they had in their chunks."""
    for planned in run.plan.seams_closed(task.id):
        tables = run.tables(run.plan.parents[planned.above])
        yield planned, read_seam(tables, seam_name(run.plan.tasks[planned.above].index, planned.axis))


def _between(run: Run, planned: PlannedSeam) -> Seam:
    kind, axis = affinity_type(run.affinity_dtype), planned.axis
    low, high = _planes(run, planned.below, (axis, 1)), _planes(run, planned.above, (axis, 0))
    return Seam.join([seam_of(*pair, axis, kind) for pair in zip(low, high, strict=True)])


def _planes(run: Run, leaf: str, side: tuple[int, int]) -> list[Faces]:
    task = run.plan.tasks[leaf]
    places = [place_of(run, box) for _, box in chunks_of(run, task)]
    return read_planes(run.tables(leaf), place_of(run, task.box), places, side)
