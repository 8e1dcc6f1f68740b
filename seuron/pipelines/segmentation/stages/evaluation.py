"""Stage `evaluation`: contingency tables of boxes, then their sum and the scores.

The tables count supervoxels against ground truth, so that they hold for every agglomeration: the
table of a segmentation is theirs with the supervoxels renamed.
"""

from __future__ import annotations

import numpy as np

from seuron.engine.inputs import inputs_digest, parts_read, source_read, tables_read
from seuron.engine.pipeline import Counts, Inputs
from seuron.engine.plan import Task
from seuron.evaluation import ContingencyTable, contingency, merge, scores, write_scores
from seuron.pipelines.segmentation.facts import SegmentationRun
from seuron.pipelines.segmentation.octree import agglomeration_octree
from seuron.pipelines.segmentation.plan import region_size
from seuron.pipelines.segmentation.stages.remap import EDITED, segments_of
from seuron.storage.tables import read_table, write_table
from seuron.volumes import open_volume


def inputs(run: SegmentationRun, task: Task) -> Inputs:
    """The supervoxels and the truth in a box; or the tables of all boxes, and the segments of all supervoxels."""
    if task.tier == 0:
        truth = source_read(run, task, "ground_truth")
        return {"tables": inputs_digest(run, task, [parts_read(run, task, "supervoxels"), truth])}
    tables = [tables_read(run, other.id, "contingency") for other in run.plan.stage("evaluation").tiers[0]]
    names = [tables_read(run, other.id, "names") for tier in agglomeration_octree(run.plan).levels for other in tier]
    edited = [tables_read(run, other.id, EDITED) for other in run.plan.stage("edits").tasks]
    return {"scores": inputs_digest(run, task, [tables, names, *([edited] if edited else [])])}


def run(run: SegmentationRun, task: Task) -> Counts:
    """Count a box's (supervoxel, truth) pairs, or score the segments that the sum of all tables gives."""
    if task.tier == 0:
        table = _count(run, task)
        write_table(run.tables(task.id), "contingency", table.columns("supervoxel"))
        return {"voxels": task.box.voxels, "pairs": table.voxels.size}
    table = supervoxel_table(run)
    names = segments_of(run, table.segments.astype(np.int64)).astype(np.uint64)
    table = table.renamed(names)
    write_scores(run.storage, scores(table))
    return {"pairs": table.voxels.size}


def supervoxel_table(run: SegmentationRun) -> ContingencyTable:
    """How many voxels each supervoxel of a run shares with each true object: the sum of its tasks' tables.

    Raises RunError when they are not there yet.
    """
    tasks = run.plan.stage("evaluation").tiers[0]
    parts = (read_table(run.tables(task.id), "contingency") for task in tasks)
    return merge(ContingencyTable.from_columns(part, "supervoxel") for part in parts)


def _count(run: SegmentationRun, task: Task) -> ContingencyTable:
    assert run.params.ground_truth is not None
    supervoxels = open_volume(run.layer("supervoxels"))
    truth = open_volume(run.params.ground_truth, run.params.mip)
    table = ContingencyTable.empty()
    for _, region in task.box.cells(region_size(run.params, run.facts)):
        box = region.intersect(truth.box)
        if box.voxels:
            table = merge([table, contingency(supervoxels.read(box), truth.read(box))])
    return table
