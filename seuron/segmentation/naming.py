"""Stages `supervoxel_names` and `segment_names`: final names go down an octree again.

What a cluster is called in the end is known at the root. Each merge tells each of the tasks that it
merged, and only it, what became of the clusters that it sent up (table `final-X_Y_Z`): the root itself,
the others by a task of these stages, once they have heard from above. So no task ever reads the names
of a whole volume.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from abiss_py import Mapping
from seuron.planning import Task
from seuron.runs import Counts, Run
from seuron.segmentation.columns import final_name, read_names, write_names
from seuron.segmentation.inputs import final_read, inputs_digest, tables_read
from seuron.storage import Storage
from seuron.tables import read_table


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
    names, new = read_names(run.tables(merge)), 0
    for child in run.plan.tasks[merge].children:
        ids = read_table(run.tables(child), "open-clusters")["id"]
        final = above.follow(names.follow(ids))
        renamed = ids != final
        write_names(target, Mapping(ids[renamed], final[renamed]), final_name(run.plan.tasks[child].index))
        new += int(np.count_nonzero(renamed))
    return new


def told(run: Run, task: str) -> Mapping:
    """The final names of what a task of an octree sent up; none for a root.

    A watershed leaf sent it to the tasks that close its seams; copies of one cluster that several of
    them had have one name in the end.
    """
    planned = run.plan.tasks[task]
    if planned.stage == "watershed" and planned.tier == 0:
        return Mapping.union([_after_seams(run, seams, part) for seams, part in run.plan.seams_of(task)])
    parent = run.plan.parents.get(task)
    if parent is None:
        return Mapping.union([])
    return read_names(run.tables(run.plan.tellers[parent]), final_name(run.plan.tasks[task].index))


def _after_seams(run: Run, seams: str, part: str) -> Mapping:
    """The final names of what a seam task heard of one leaf."""
    names = read_names(run.tables(seams), f"names-{part}")
    return Mapping(names.keys, told(run, seams).follow(names.values))


def leaf_names(run: Run, leaf: str) -> Mapping:
    """What a leaf's ids are called in the end, as far as that is another name than the leaf's own.

    Of a watershed leaf this makes supervoxels of its chunks' clusters; of an agglomeration leaf,
    segments of the supervoxels in its box.
    """
    names, above = read_names(run.tables(leaf)), told(run, leaf)
    return Mapping.union([Mapping(names.keys, above.follow(names.values)), above])


def final_names(run: Run, leaf: str, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """What ids of a leaf are called in the end: `leaf_names`, for ids that are asked for once."""
    return told(run, leaf).follow(read_names(run.tables(leaf)).follow(ids))


def segments_of(run: Run, supervoxels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The segments of supervoxels from anywhere in the volume.

    No id is renamed by two tasks of one tier: what several of them see is open, and keeps its name.
    """
    ids = supervoxels
    for tier in (tier for tier in run.plan.stage("agglomeration").tiers if not tier[0].layer):
        ids = Mapping.union([read_names(run.tables(task.id)) for task in tier]).follow(ids)
    return ids
