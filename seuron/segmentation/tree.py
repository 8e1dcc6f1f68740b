"""Up the tree of an octree stage: who merges a task's result, and what ids are called at its top."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seuron.planning import Plan
from seuron.runs import Run
from seuron.segmentation.columns import read_names


def ancestors(plan: Plan, task_id: str) -> list[str]:
    """A task of an octree stage, then the one that merges its result, up to the root."""
    stage = plan.stage(plan.tasks[task_id].stage)
    chain = [task_id]
    for tier in stage.tiers[plan.tasks[task_id].tier + 1 :]:
        chain.append(next(task.id for task in tier if chain[-1] in task.children))
    return chain


def final_names(run: Run, task_id: str, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """What ids are called after a task and all that merge its result.

    Of a watershed task this makes supervoxels of its chunks' clusters; of an agglomeration task,
    segments of the supervoxels in its box.
    """
    for ancestor in ancestors(run.plan, task_id):
        ids = read_names(run.tables(ancestor)).follow(ids)
    return ids
