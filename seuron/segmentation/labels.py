"""Stage `labels`: every voxel's supervoxel and segment, written once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, Triple
from seuron.planning import Task
from seuron.planning.plan import task_id
from seuron.planning.segmentation import region_size
from seuron.runs import Counts, Run
from seuron.segmentation.chunks import chunk_name, chunks_meeting, leaf_index
from seuron.segmentation.naming import final_names
from seuron.tables import read_table
from seuron.volumes import open_volume

Labels = NDArray[np.uint64]


def run(run: Run, task: Task) -> Counts:
    """Write both label layers in the task's box, which lies on storage blocks whatever the chunks are."""
    supervoxels, segmentation = open_volume(run.layer("supervoxels")), open_volume(run.layer("segmentation"))
    counts: Counts = {"voxels": task.box.voxels, "stored_bytes": 0, "background_voxels": 0}
    counts |= {"supervoxels": 0, "segments": 0}
    for _, box in task.box.cells(region_size(run.params)):
        first = np.zeros(box.shape, np.uint64, order="F")
        second = np.zeros(box.shape, np.uint64, order="F")
        for index, chunk in chunks_meeting(run, box):
            names = _names(run, index)
            shared = chunk.intersect(box)
            numbers = _numbers(run, index, chunk)[shared.within(chunk)]
            first[shared.within(box)] = names.supervoxels[numbers]
            second[shared.within(box)] = names.segments[numbers]
            if box.contains(Box.from_shape(chunk.minimum, (1, 1, 1))):  # each chunk is counted once
                counts["supervoxels"] += names.begun(names.supervoxels)
                counts["segments"] += names.begun(names.segments)
        counts["stored_bytes"] += supervoxels.write(box, first) + segmentation.write(box, second)
        counts["background_voxels"] += first.size - np.count_nonzero(first)
    return counts


@dataclass(frozen=True)
class _Names:
    """What a chunk's cluster numbers stand for; entry 0 is background."""

    clusters: Labels
    supervoxels: Labels
    segments: Labels

    def begun(self, ids: Labels) -> int:
        """How many ids have their first voxel in the chunk: there they are the cluster's own."""
        return int(np.count_nonzero(ids == self.clusters)) - 1


def _names(run: Run, chunk: Triple) -> _Names:
    leaf = leaf_index(run, chunk)
    task = task_id("watershed", 0, leaf)
    clusters = read_table(run.tables(task), chunk_name("clusters", chunk))["id"]
    supervoxels = final_names(run, task, clusters)
    segments = final_names(run, task_id("agglomeration", 0, leaf), supervoxels)
    return _Names(*(ids.astype(np.uint64) for ids in (clusters, supervoxels, segments)))


def _numbers(run: Run, index: Triple, chunk: Box) -> NDArray[np.uint32]:
    """A chunk's cluster numbers, (X, Y, Z)."""
    tables = run.tables(task_id("watershed", 0, leaf_index(run, index)))
    numbers: NDArray[np.uint32] = read_table(tables, chunk_name("labels", index))["number"]
    return numbers.reshape(chunk.shape, order="F")
