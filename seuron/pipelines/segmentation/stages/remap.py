"""Stages `remap_supervoxels` and `remap_segments`: final ids go down an octree again.

What a cluster is called in the end is known at the root. Each merge gives each of the tasks that it
merged, and only it, the final ids of the clusters that it sent up (table `final-X_Y_Z`): the root itself,
the others by a task of these stages, once they have theirs from above. So no task ever reads the ids
of a whole volume, and those that it reads need not fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from abiss_py import Mapping
from seuron.box import Triple
from seuron.engine.inputs import inputs_digest, tables_read
from seuron.engine.pipeline import Counts, Inputs
from seuron.engine.plan import Task
from seuron.pipelines.segmentation.chunks import chunk_name
from seuron.pipelines.segmentation.facts import SegmentationRun
from seuron.pipelines.segmentation.octree import LeafSeam, Octree, agglomeration_octree, watershed_octree
from seuron.pipelines.segmentation.table_schemas import (
    face_name,
    final_name,
    names_on_disk,
    read_names,
    write_names_in_pieces,
)
from seuron.pipelines.segmentation.tables_read import final_read
from seuron.storage import Storage
from seuron.storage.tables import count_rows, read_groups

#: Tables of tasks that close seams or lines that are kept: a leaf asks for four, and these for four each.
KEPT = 256
#: The table of the stage `edits`: supervoxels that edits gave to another segment.
EDITED = "edited"


def inputs(run: SegmentationRun, task: Task) -> Inputs:
    """What a merge was given from above, its own names, and what its children sent up."""
    octree = _octree(run, task)
    merge = octree.merge_of(task)
    sent = [tables_read(run, child.id, "open-clusters") for child in octree.children(merge)]
    read = [final_read(run, octree, merge), tables_read(run, merge.id, "names"), sent]
    return {"tables": inputs_digest(run, task, read)}


def run(run: SegmentationRun, task: Task) -> Counts:
    """Give the tasks below a merge the final ids that it was given from above."""
    octree = _octree(run, task)
    merge = octree.merge_of(task)
    return {"names": propagate_ids(run, octree, merge, FinalIds(run, octree).of_task(merge), run.tables(task.id))}


def _octree(run: SegmentationRun, task: Task) -> Octree:
    return watershed_octree(run.plan) if task.stage == "remap_supervoxels" else agglomeration_octree(run.plan)


def propagate_ids(run: SegmentationRun, octree: Octree, merge: Task, above: Mapping, target: Storage) -> int:
    """Write the final ids of what each child of `merge` sent up; returns how many are new.

    `above` has the final ids of what `merge` itself sent up: none for a root.
    """
    names, new = names_on_disk(run.tables(merge.id)), 0
    for child in octree.children(merge):
        table = final_name(child.index)
        write_names_in_pieces(target, _resolved(run, child, names, above), table)
        new += count_rows(target, table)
    return new


def _resolved(run: SegmentationRun, child: Task, names: Mapping, above: Mapping) -> Iterator[Mapping]:
    """The final ids of what a child sent up, where these are new, in pieces."""
    for sent in read_groups(run.tables(child.id), "open-clusters", ("id",)):
        final = above.follow(names.follow(sent["id"]))
        renamed = sent["id"] != final
        yield Mapping(sent["id"][renamed], final[renamed])


class FinalIds:
    """The final ids of what tasks of an octree sent up. Neighbours ask for the same: what was read last is kept."""

    def __init__(self, run: SegmentationRun, octree: Octree) -> None:
        self._run, self._octree = run, octree
        self.of_closer = lru_cache(maxsize=KEPT)(self._of_closer)

    def of_task(self, task: Task) -> Mapping:
        """The final ids of what a task sent up; none for a root.

        Several tasks may have closed copies of a cluster of the watershed: in the end it has one id.
        """
        closers = list(self._octree.closers(task))
        if closers:
            return Mapping.union([self.of_closer(closer, part) for closer, part in closers])
        parent = self._octree.parent(task)
        if parent is None:
            return Mapping.union([])
        return names_on_disk(self._run.tables(self._octree.remap_source(parent).id), final_name(task.index))

    def _of_closer(self, closer: Task, part: str) -> Mapping:
        """The final ids of what a task that closes seams or lines read of one task below, which it calls `part`."""
        names = read_names(self._run.tables(closer.id), f"names-{part}")
        return Mapping(names.keys, self.of_task(closer).follow(names.values))


class LeafIds:
    """The supervoxels of the clusters that a watershed leaf's chunks have."""

    def __init__(self, run: SegmentationRun, leaf: Task, final: FinalIds | None = None) -> None:
        self._tables = run.tables(leaf.id)
        #: Of what the leaf left open.
        self.after = (final or FinalIds(run, watershed_octree(run.plan))).of_task(leaf)

    def follow(self, ids: NDArray[np.int64], *chunks: Triple) -> NDArray[np.int64]:
        """The final ids of ids of these chunks."""
        names = Mapping.union([read_names(self._tables, chunk_name("names", chunk)) for chunk in chunks])
        return self.after.follow(names.follow(ids))


def seam_ids(run: SegmentationRun, octree: Octree, seam: LeafSeam, final: FinalIds) -> tuple[Mapping, Mapping]:
    """The supervoxels of the clusters on both sides of a seam between leaves, the lower side first."""
    closer = octree.parent(seam.above)
    assert closer is not None
    sides = ((seam.below, 1, "xyz"[seam.axis]), (seam.above, 0, "own"))
    found = []
    for leaf, side, part in sides:
        at_face = read_names(run.tables(leaf.id), face_name("face", seam.axis, side))
        found.append(Mapping(at_face.keys, final.of_closer(closer, part).follow(at_face.values)))
    return found[0], found[1]


def segments_in(run: SegmentationRun, leaf: Task) -> Mapping:
    """The segments of the supervoxels in an agglomeration leaf's box, where these have another id."""
    names, above = read_names(run.tables(leaf.id)), FinalIds(run, agglomeration_octree(run.plan)).of_task(leaf)
    decided = Mapping.union([Mapping(names.keys, above.follow(names.values)), above])
    edited = edited_names(run)
    kept = ~np.isin(decided.keys, edited.keys)
    return Mapping.union([edited, Mapping(decided.keys[kept], decided.values[kept])])


def segments_of(run: SegmentationRun, supervoxels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The segments of supervoxels from anywhere in the volume, as the layer `segmentation` has them."""
    edited, decided = edited_names(run), AgglomeratedSegments(run).of(supervoxels)
    return np.where(np.isin(supervoxels, edited.keys), edited.follow(supervoxels), decided)


def edited_names(run: SegmentationRun) -> Mapping:
    """The segments of those supervoxels that edits moved to another one."""
    tasks = run.plan.stage("edits").tasks
    return Mapping.union([read_names(run.tables(task.id), EDITED) for task in tasks])


class AgglomeratedSegments:
    """The segments that the agglomeration made, before any edit.

    No id is renamed by two tasks of one tier: what several of them see is open, and keeps its name.
    """

    def __init__(self, run: SegmentationRun) -> None:
        tiers = agglomeration_octree(run.plan).levels
        self._names = [Mapping.union([read_names(run.tables(task.id)) for task in tier]) for tier in tiers]

    def of(self, supervoxels: NDArray[np.int64]) -> NDArray[np.int64]:
        """The segments of supervoxels from anywhere in the volume."""
        for names in self._names:
            supervoxels = names.follow(supervoxels)
        return supervoxels
