"""Stage `pyramid`: the coarser scales of every layer that a run writes."""

from __future__ import annotations

from seuron.engine.inputs import inputs_digest, parts_read
from seuron.engine.pipeline import Counts, Inputs
from seuron.engine.plan import Task
from seuron.engine.run import Run

#: Scales that one task makes at once.
SCALES_PER_TASK = 3


def inputs(run: Run, task: Task) -> Inputs:
    """What the finest of the scales below was made from, in the task's box."""
    below = "scales" if task.tier else task.layer
    return {"scales": inputs_digest(run, task, parts_read(run, task, below))}


def run(run: Run, task: Task) -> Counts:
    """The tier's scales of one layer, below the task's box."""
    from seuron.volumes import open_volume
    from seuron.volumes.pyramid import downsample_scales

    layer = open_volume(run.layer(task.layer))
    stored = downsample_scales(layer, task.box, task.tier * SCALES_PER_TASK, SCALES_PER_TASK)
    return {"voxels": task.box.voxels, "stored_bytes": stored}
