"""Digests of the tables that a segmentation's tasks read of each other, by what is in them."""

from __future__ import annotations

from typing import Any

from seuron.engine.inputs import tables_read
from seuron.engine.plan import Task
from seuron.pipelines.segmentation.facts import SegmentationRun
from seuron.pipelines.segmentation.octree import LeafSeam, Octree
from seuron.pipelines.segmentation.table_schemas import face_name, final_name, seam_name


def final_read(run: SegmentationRun, octree: Octree, task: Task) -> list[dict[str, str]]:
    """The digests of the final ids that a task of an octree is given; none for a root."""
    closers = list(octree.closers(task))
    if closers:
        return [read for closer, part in closers for read in _closer_read(run, octree, closer, part)]
    parent = octree.parent(task)
    if parent is None:
        return []
    return [tables_read(run, octree.remap_source(parent).id, final_name(task.index))]


def _closer_read(run: SegmentationRun, octree: Octree, closer: Task, part: str) -> list[dict[str, str]]:
    return [tables_read(run, closer.id, f"names-{part}"), *final_read(run, octree, closer)]


def leaf_ids_read(run: SegmentationRun, octree: Octree, leaf: Task) -> list[Any]:
    """The digests of what the clusters of a watershed leaf are called after it, and in the end."""
    return [tables_read(run, leaf.id, "names-"), final_read(run, octree, leaf)]


def seams_read(run: SegmentationRun, octree: Octree, merge: Task) -> list[Any]:
    """The digests of the seams that a merge closes, and of what the ids in them are called in the end."""
    return [_seam_read(run, octree, seam) for seam in octree.seams_closed(merge)]


def _seam_read(run: SegmentationRun, octree: Octree, seam: LeafSeam) -> list[Any]:
    closer = octree.parent(seam.above)
    assert closer is not None
    contacts = tables_read(run, closer.id, seam_name(seam.above.index, seam.axis))
    at_faces = [tables_read(run, seam.below.id, face_name("face", seam.axis, 1))]
    at_faces.append(tables_read(run, seam.above.id, face_name("face", seam.axis, 0)))
    after = [_closer_read(run, octree, closer, part) for part in ("xyz"[seam.axis], "own")]
    return [contacts, at_faces, after]


def rounds_read(run: SegmentationRun, task: Task) -> list[dict[str, str]]:
    """The digests of all tables that a round's tasks have left of which a task reads something."""
    others = (other.id for other in run.reads(task) if other.role in ("split", "bin"))
    return [run.table_digests(other) for other in others if run.has_tables(other)]
