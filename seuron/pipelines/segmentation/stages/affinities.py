"""Stage `affinities`: the boundary net over the image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, Triple
from seuron.engine.inputs import inputs_digest, source_read
from seuron.engine.pipeline import Counts, Inputs
from seuron.engine.plan import Task
from seuron.errors import RunError
from seuron.nets.models import model_path
from seuron.nets.normalisation import Normalisation
from seuron.nets.predict import Predictor, predict_box, to_uint8
from seuron.pipelines.segmentation.chunks import filled_blocks
from seuron.pipelines.segmentation.facts import SegmentationRun
from seuron.pipelines.segmentation.plan import inference_cell
from seuron.volumes import open_volume


def inputs(run: SegmentationRun, task: Task) -> Inputs:
    """The image's blocks that the task's patches see."""
    return {"affinities": inputs_digest(run, task, source_read(run, task, "image"))}


def run(run: SegmentationRun, task: Task) -> Counts:
    """Predict the affinities of the task's box.

    Patches lie on a grid that starts at the image's corner, and see the image beyond the run's box,
    so a voxel's affinities do not depend on how the work is cut. Of the run's box they see only the
    grey scale, which was measured there once, when the run was prepared.
    """
    assert run.params.image is not None
    image = open_volume(run.params.image, run.params.mip)
    affinities = open_volume(run.layer("affinities"))
    predictor = Predictor.load(_weights(run), _normalisation(run), run.facts.precision)
    counts: Counts = {"voxels": task.box.voxels, "stored_bytes": 0}

    def read(minimum: Triple, maximum: Triple) -> NDArray[np.uint8]:
        voxels: NDArray[np.uint8] = image.read(Box(minimum, maximum), missing=run.params.missing_blocks)[..., 0]
        return voxels

    for _, box in task.box.cells(inference_cell(run.params, run.facts)):
        predicted = predict_box(
            read,
            image.box.minimum,
            image.box.maximum,
            box.minimum,
            box.maximum,
            predictor,
            run.params.patch_size,
            run.params.patch_overlap,
        )
        stored = to_uint8(predicted) if affinities.dtype == np.uint8 else predicted
        counts["stored_bytes"] += affinities.write(box, stored)
    counts["filled_blocks"] = filled_blocks(run, image, task.box)
    return counts


def _weights(run: SegmentationRun) -> Path:
    path = model_path(run.params.model)
    if path is None:
        raise RunError(f"the weights of the net {run.params.model!r} are gone; put them back and start the run again")
    return path


def _normalisation(run: SegmentationRun) -> Normalisation:
    return Normalisation(run.facts.grey_mean, run.facts.grey_std)
