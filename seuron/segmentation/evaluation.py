"""Stage `evaluation`: contingency tables of boxes, then their sum and the scores."""

from __future__ import annotations

from seuron.evaluation import ContingencyTable, contingency, merge, scores, write_scores
from seuron.planning import Task
from seuron.planning.segmentation import region_size
from seuron.runs import Counts, Run
from seuron.tables import read_table, write_table
from seuron.volumes import open_volume


def run(run: Run, task: Task) -> Counts:
    """Count a box's (segment, truth) pairs, or score the sum of all tables."""
    if task.tier == 0:
        table = _count(run, task)
        write_table(run.tables(task.id), "contingency", table.columns())
        return {"voxels": task.box.voxels, "pairs": table.voxels.size}
    parts = (read_table(run.tables(child), "contingency") for child in task.children)
    table = merge(ContingencyTable.from_columns(part) for part in parts)
    write_scores(run.storage, scores(table))
    return {"pairs": table.voxels.size}


def _count(run: Run, task: Task) -> ContingencyTable:
    assert run.params.ground_truth is not None
    segmentation = open_volume(run.layer("segmentation"))
    truth = open_volume(run.params.ground_truth, run.params.mip)
    table = ContingencyTable.empty()
    for _, region in task.box.cells(region_size(run.params)):
        box = region.intersect(truth.box)
        if box.voxels:
            table = merge([table, contingency(segmentation.read(box), truth.read(box))])
    return table
