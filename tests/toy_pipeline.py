"""A toy pipeline, which `SEURON_PIPELINES=toy=toy_pipeline` adds: which voxels of an image are bright, and how many."""

from __future__ import annotations

import numpy as np

from seuron.engine.inputs import inputs_digest, parts_read, source_read
from seuron.engine.pipeline import Facts, Layer, Pipeline, Source, Stage
from seuron.engine.plan import Estimate, Tier
from seuron.errors import SeuronError
from seuron.params.fields import Size, parameter
from seuron.params.run_parameters import RunParameters
from seuron.pipelines.stages.report import report_stage
from seuron.storage import cloud_path, join
from seuron.storage.tables import read_table, write_table
from seuron.volumes import open_volume


class ToyParams(RunParameters):
    """The bright voxels of an image become a layer, and are counted."""

    image: str = parameter(..., "Input", "image whose voxels are compared", min_length=1)
    level: int = parameter(128, "Threshold", "voxels above this are bright", ge=0, le=255)
    cell: Size = parameter((32, 32, 32), "Threshold", "what a task works on, also the storage block", unit="voxels")


def check(params, before, workers):
    try:
        image = open_volume(params.image)
    except SeuronError as error:
        return None, [f"`image`: {error}"]
    return Facts(image.box, image.resolution_nm), []


def layers(params, facts):
    bright = Layer("bright", join(params.output, "bright"), "segmentation", block_size=params.cell, stage="threshold")
    return [Layer("image", cloud_path(params.image), "image", "uint8"), bright]


def inputs(run, task):
    read = source_read(run, task, "image") if task.stage == "threshold" else parts_read(run, task, "bright")
    return {"bright": inputs_digest(run, task, read)}


def run(run, task):
    if task.stage == "total":
        counts = [read_table(run.tables(part.id), "bright")["voxels"] for part in run.reads(task)]
        write_table(run.tables(task.id), "bright", {"voxels": np.array([np.sum(counts)])})
        return {"bright_voxels": int(np.sum(counts))}
    bright = open_volume(run.params.image).read(task.box)[..., 0] > run.params.level
    write_table(run.tables(task.id), "bright", {"voxels": np.array([np.count_nonzero(bright)])})
    stored = open_volume(run.layer("bright")).write(task.box, np.asfortranarray(bright.astype(np.uint64)))
    return {"voxels": task.box.voxels, "stored_bytes": stored}


def cells(params, facts):
    return (Tier.of_cells(facts.box, params.cell, lambda index, box: Estimate(box.voxels / 1e7, 10**8)),)


def whole(params, facts):
    return (Tier.of_whole(facts.box, Estimate(0.1, 10**8)),)


PIPELINE = Pipeline(
    name="toy",
    help="the bright voxels of an image",
    params=ToyParams,
    facts=Facts,
    stages=(
        Stage("threshold", __name__, 1, ("cpu",), cells, ("level",), sources=lambda run, task: {"image": task.box}),
        Stage("total", __name__, 1, ("cpu",), whole, reads=lambda run, task: run.plan.stage("threshold").tiers),
        report_stage(),
    ),
    check=check,
    sources=lambda params: {"image": Source(params.image)},
    layers=layers,
    stored_bytes=lambda params, facts: facts.box.voxels,
    paths=("image", "output", "store"),
)
