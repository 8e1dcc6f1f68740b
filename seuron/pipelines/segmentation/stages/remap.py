"""Stages `supervoxel_names` and `segment_names`: final names go down an octree again.

What a cluster is called in the end is known at the root. Each merge tells each of the tasks that it
merged, and only it, what became of the clusters that it sent up (table `final-X_Y_Z`): the root itself,
the others by a task of these stages, once they have heard from above. So no task ever reads the names
of a whole volume, and those that it reads need not fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from abiss_py import Mapping
from seuron.box import Triple
from seuron.engine.plan import Seam, Task
from seuron.engine.run import Counts, Run
from seuron.pipelines.segmentation.chunks import chunk_name
from seuron.pipelines.segmentation.content_digests import final_read, inputs_digest, tables_read
from seuron.pipelines.segmentation.table_schemas import (
    face_name,
    final_name,
    names_on_disk,
    read_names,
    write_names_in_pieces,
)
from seuron.storage import Storage
from seuron.storage.tables import count_rows, read_groups


def inputs(run: Run, task: Task) -> dict[str, str]:
    """What a merge heard from above, its own names, and what its children sent up."""
    (merge,) = task.children
    sent = [tables_read(run, child, "open-clusters") for child in run.plan.tasks[merge].children]
    return {"tables": inputs_digest(run, task, [final_read(run, merge), tables_read(run, merge, "names"), sent])}


def run(run: Run, task: Task) -> Counts:
    """Tell the tasks below a merge what it heard from above."""
    (merge,) = task.children
    return {"names": hand_down(run, merge, told(run, merge), run.tables(task.id))}


def hand_down(run: Run, merge: str, above: Mapping, target: Storage) -> int:
    """Write the final names of what each child of `merge` sent up; returns how many are new.

    `above` has the final names of what `merge` itself sent up: none for a root.
    """
    names, new = names_on_disk(run.tables(merge)), 0
    for child in run.plan.tasks[merge].children:
        table = final_name(run.plan.tasks[child].index)
        write_names_in_pieces(target, _final(run, child, names, above), table)
        new += count_rows(target, table)
    return new


def _final(run: Run, child: str, names: Mapping, above: Mapping) -> Iterator[Mapping]:
    """The final names of what a child sent up, where these are new, in pieces."""
    for sent in read_groups(run.tables(child), "open-clusters", ("id",)):
        final = above.follow(names.follow(sent["id"]))
        renamed = sent["id"] != final
        yield Mapping(sent["id"][renamed], final[renamed])


def told(run: Run, task: str) -> Mapping:
    """The final names of what a task of an octree sent up; none for a root.

    Several tasks may have closed copies of a cluster of the watershed: in the end it has one name.
    """
    closers = list(run.plan.closers(task))
    if closers:
        return Mapping.union([told_by_closer(run, closer, part) for closer, part in closers])
    parent = run.plan.parents.get(task)
    if parent is None:
        return Mapping.union([])
    return names_on_disk(run.tables(run.plan.tellers[parent]), final_name(run.plan.tasks[task].index))


def told_by_closer(run: Run, closer: str, part: str) -> Mapping:
    """The final names of what a task that closes seams or lines heard of one task below, which it calls `part`."""
    names = read_names(run.tables(closer), f"names-{part}")
    return Mapping(names.keys, told(run, closer).follow(names.values))


class LeafNames:
    """The supervoxels of the clusters that a watershed leaf's chunks have."""

    def __init__(self, run: Run, leaf: str) -> None:
        self._tables = run.tables(leaf)
        #: Of what the leaf left open.
        self.after = told(run, leaf)

    def follow(self, ids: NDArray[np.int64], *chunks: Triple) -> NDArray[np.int64]:
        """The final names of ids of these chunks."""
        names = Mapping.union([read_names(self._tables, chunk_name("names", chunk)) for chunk in chunks])
        return self.after.follow(names.follow(ids))


def seam_names(run: Run, seam: Seam) -> tuple[Mapping, Mapping]:
    """The supervoxels of the clusters on both sides of a seam between leaves, the lower side first."""
    seams = run.plan.parents[seam.above]
    sides = ((seam.below, 1, "xyz"[seam.axis]), (seam.above, 0, "own"))
    found = []
    for leaf, side, part in sides:
        at_face = read_names(run.tables(leaf), face_name("face", seam.axis, side))
        found.append(Mapping(at_face.keys, told_by_closer(run, seams, part).follow(at_face.values)))
    return found[0], found[1]


def segments_in(run: Run, leaf: str) -> Mapping:
    """The segments of the supervoxels in an agglomeration leaf's box, where these have another id."""
    names, above = read_names(run.tables(leaf)), told(run, leaf)
    return Mapping.union([Mapping(names.keys, above.follow(names.values)), above])


def segments_of(run: Run, supervoxels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The segments of supervoxels from anywhere in the volume.

    No id is renamed by two tasks of one tier: what several of them see is open, and keeps its name.
    """
    ids = supervoxels
    for tier in (tier for tier in run.plan.stage("agglomeration").tiers if not tier[0].layer):
        ids = Mapping.union([read_names(run.tables(task.id)) for task in tier]).follow(ids)
    return ids
