"""Stage `pyramid`: the coarser scales of every layer that the run wrote."""

from __future__ import annotations

from seuron.engine.plan import Task
from seuron.engine.run import Counts, Run
from seuron.pipelines.segmentation.content_digests import inputs_digest, parts_read
from seuron.pipelines.segmentation.plan import PYRAMID_SCALES
from seuron.volumes import open_volume
from seuron.volumes.pyramid import downsample_scales


def inputs(run: Run, task: Task) -> dict[str, str]:
    """What the finest of the scales below was made from, in the task's box."""
    below = "scales" if task.tier else task.layer
    return {"scales": inputs_digest(run, task, parts_read(run, task, below))}


def run(run: Run, task: Task) -> Counts:
    """The tier's scales of one layer, below the task's box."""
    layer = open_volume(run.layer(task.layer))
    stored = downsample_scales(layer, task.box, task.tier * PYRAMID_SCALES, PYRAMID_SCALES)
    return {"voxels": task.box.voxels, "stored_bytes": stored}
