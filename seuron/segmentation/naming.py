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
    """The final names of what a task of an octree sent up; none for a root."""
    parent = run.plan.parents.get(task)
    if parent is None:
        return Mapping.union([])
    return read_names(run.tables(run.plan.tellers[parent]), final_name(run.plan.tasks[task].index))


def final_names(run: Run, leaf: str, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """What ids of a leaf are called in the end.

    Of a watershed leaf this makes supervoxels of its chunks' clusters; of an agglomeration leaf,
    segments of the supervoxels in its box.
    """
    return told(run, leaf).follow(read_names(run.tables(leaf)).follow(ids))


def names_after(run: Run, stage: str, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """What ids from anywhere in the volume are called after all tasks of an octree stage.

    No id is renamed by two tasks of one tier: what several of them see is open, and keeps its name.
    """
    for tier in (tier for tier in run.plan.stage(stage).tiers if not tier[0].layer):
        ids = Mapping.union([read_names(run.tables(task.id)) for task in tier]).follow(ids)
    return ids
