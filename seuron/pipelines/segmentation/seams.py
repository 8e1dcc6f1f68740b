"""Seams: made of the planes of voxels on both sides once, as soon as both are there.

Those between a leaf's chunks are made where the leaf is worked on. The seam through the low face of a leaf
along an axis is a table of the task that closes that leaf's seams.
"""

from __future__ import annotations

from collections.abc import Iterator

from abiss_py import AffinityType, Faces, Seam, affinity_type, seam_of
from seuron.box import Triple
from seuron.engine.plan import Task
from seuron.pipelines.segmentation.chunks import chunks_of, place_of
from seuron.pipelines.segmentation.facts import SegmentationRun, affinity_dtype
from seuron.pipelines.segmentation.octree import LeafSeam, Octree, watershed_octree
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


def make_seams(run: SegmentationRun, task: Task) -> Iterator[tuple[LeafSeam, Seam]]:
    """The seams at the low faces of a seam task's leaf, each written when it is made."""
    for planned in watershed_octree(run.plan).seams_made(task):
        seam = _between(run, planned)
        write_seam(run.tables(task.id), seam_name(planned.above.index, planned.axis), seam)
        yield planned, seam


def closed_seams(run: SegmentationRun, octree: Octree, merge: Task) -> Iterator[tuple[LeafSeam, Seam]]:
    """The seams that a merge of the watershed closes. Clusters go by the names they had in their chunks."""
    for planned in octree.seams_closed(merge):
        closer = octree.parent(planned.above)
        assert closer is not None
        yield planned, read_seam(run.tables(closer.id), seam_name(planned.above.index, planned.axis))


def _between(run: SegmentationRun, planned: LeafSeam) -> Seam:
    kind, axis = affinity_type(affinity_dtype(run.params, run.facts)), planned.axis
    low, high = _planes(run, planned.below, (axis, 1)), _planes(run, planned.above, (axis, 0))
    return Seam.join([seam_of(*pair, axis, kind) for pair in zip(low, high, strict=True)])


def _planes(run: SegmentationRun, leaf: Task, side: tuple[int, int]) -> list[Faces]:
    places = [place_of(run, box) for _, box in chunks_of(run, leaf)]
    return read_planes(run.tables(leaf.id), place_of(run, leaf.box), places, side)
