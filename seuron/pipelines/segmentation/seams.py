"""Seams: made of the planes of voxels on both sides once, as soon as both are there.

Those between a leaf's chunks are made where the leaf is worked on. The seam through the low face of a leaf
along an axis is a table of the task that closes that leaf's seams.
"""

from __future__ import annotations

from collections.abc import Iterator

from abiss_py import AffinityType, Faces, Seam, affinity_type, seam_of
from seuron.box import Triple
from seuron.engine.plan import Seam as PlannedSeam
from seuron.engine.plan import Task
from seuron.engine.run import Run
from seuron.pipelines.segmentation.chunks import chunks_of, place_of
from seuron.pipelines.segmentation.table_schemas import read_planes, read_seam, seam_name, write_seam


def closable_seams(faces: dict[Triple, Faces], chunk: Triple, kind: AffinityType) -> Iterator[tuple[Triple, int, Seam]]:
    """The seams between a chunk and those at its low faces: the place of the lower one, and the axis.

    Planes that are used up are taken out of `faces`.
    """
    for axis, below in enumerate(chunks_below(chunk)):
        if below in faces:
            yield below, axis, seam_of(faces[below], faces[chunk], axis, kind)
            del faces[below].planes[axis, 1], faces[chunk].planes[axis, 0]


def chunks_below(chunk: Triple) -> list[Triple]:
    """The chunks at a chunk's low faces along x, y and z."""
    x, y, z = chunk
    return [(x - 1, y, z), (x, y - 1, z), (x, y, z - 1)]


def make_seams(run: Run, task: Task) -> Iterator[tuple[PlannedSeam, Seam]]:
    """The seams at the low faces of a seam task's leaf, each written when it is made."""
    for planned in run.plan.seams_made(task.id):
        seam = _between(run, planned)
        write_seam(run.tables(task.id), seam_name(run.plan.tasks[planned.above].index, planned.axis), seam)
        yield planned, seam


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
