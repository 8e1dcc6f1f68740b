"""Everything that can be checked before a run's first task, and all that is wrong at once."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from seuron.box import Box
from seuron.errors import ParameterErrors, SeuronError
from seuron.inference.models import model_path, shipped_models
from seuron.params import SegmentationParams
from seuron.params.model import parse_leniently, unrelated
from seuron.planning import VolumeFacts
from seuron.runs import Run
from seuron.storage import Storage, cloud_path
from seuron.volumes import Volume, create_volume, open_volume
from seuron.volumes.precomputed import pyramid_factors

#: Bytes a voxel that a run leaves on disk besides affinities: 0.5 on FIB-25 (docs/performance.md), and
#: several times that where supervoxels are many and small.
BYTES_PER_VOXEL = 4
#: What an affinity map that the run makes itself takes on top, pyramid included.
AFFINITY_BYTES = {"uint8": 4, "float32": 14}
#: The types that an affinity map may have.
AFFINITY_TYPES = ("uint8", "float32")
#: The types that an image may have.
IMAGE_TYPES = ("uint8",)
#: The image's grey scale is measured on about this many boxes of this size, spread over the run's box.
GREY_SAMPLES = 8
GREY_SAMPLE = (64, 64, 64)


def check_run(params: SegmentationParams) -> tuple[VolumeFacts | None, list[str]]:
    """The facts of the run's input, and a sentence for each thing that is wrong.

    The facts are None when the input cannot be opened at all.
    """
    problems: list[str] = []
    source = _open("image" if params.image else "affinities", params.image or params.affinities or "", params, problems)
    truth = _open("ground_truth", params.ground_truth, params, problems) if params.ground_truth else None
    facts = None
    if source is not None:
        problems += _source_problems(params, source)
        box = Box.from_corners(params.bbox) if params.bbox else source.box
        if not source.box.contains(box):
            problems.append(f"`bbox`: {box} is outside the volume {source.path}, which is {source.box}")
        facts = _facts(params, source, box)
        problems += _truth_problems(truth, source, box) if truth is not None else []
        problems += _space_problems(params, box)
        problems += _output_problems(Run(params, facts))
    if params.image:
        problems += _model_problems(params.model)
    return facts, problems


def parse_run(values: Mapping[str, Any]) -> SegmentationParams:
    """The parameters that a user gave.

    Where they do not parse, the ParameterErrors also tell what is wrong with the volumes that they
    name, so that everything is told at once; where they do, `check_run` tells that.
    """
    params, problems, wrong = parse_leniently(SegmentationParams, values)
    if params is not None and not problems:
        return params
    if params is not None:
        problems += unrelated(check_run(params)[1], wrong)
    raise ParameterErrors(problems)


def create_layers(run: Run) -> None:
    """Write the metadata of the layers that the run will fill."""
    params, facts = run.params, run.facts
    if params.image is not None:
        create_volume(
            run.layer("affinities"),
            facts.box,
            facts.resolution_nm,
            dtype=params.affinity_dtype,
            channels=3,
            block_size=params.block_size,
        )
    for layer in ("supervoxels", "segmentation"):
        create_volume(
            run.layer(layer),
            facts.box,
            facts.resolution_nm,
            dtype="uint64",
            kind="segmentation",
            block_size=params.block_size,
        )


def _open(name: str, path: str, params: SegmentationParams, problems: list[str]) -> Volume | None:
    try:
        return open_volume(path, params.mip)
    except SeuronError as error:
        problems.append(f"`{name}`: {error}")
        return None


def _facts(params: SegmentationParams, source: Volume, box: Box) -> VolumeFacts:
    scales = 1 + len(pyramid_factors(box.shape, source.resolution_nm))
    layers = ["affinities"] if params.image else []
    identity = hashlib.sha256(Storage(source.path).get("info") or b"")
    facts = VolumeFacts(
        box=box,
        resolution_nm=source.resolution_nm,
        dtype=str(source.dtype),
        scales=dict.fromkeys([*layers, "supervoxels", "segmentation"], scales),
        identity="",
    )
    weights = model_path(params.model) if params.image else None
    if weights is not None:
        identity.update(weights.read_bytes())
        facts = _with_net(facts, params, source)
    return replace(facts, identity=identity.hexdigest()[:16])


def _with_net(facts: VolumeFacts, params: SegmentationParams, image: Volume) -> VolumeFacts:
    """Choose once what every task must have alike: the net's arithmetic and the image's grey scale."""
    from seuron.inference.normalisation import measure_normalisation
    from seuron.inference.predict import hardware_bf16

    precision = params.precision
    if precision == "auto":
        precision = "bf16" if hardware_bf16() else "fp32"
    if image.dtype != np.uint8 or not image.box.contains(facts.box):
        return facts  # these are problems of their own
    boxes = (cell for _, cell in facts.box.cells(GREY_SAMPLE))
    chosen = list(islice(boxes, 0, None, max(1, math.prod(facts.box.grid_shape(GREY_SAMPLE)) // GREY_SAMPLES)))
    sample = np.concatenate([image.read(box, missing=params.missing_blocks).ravel() for box in chosen])
    scale = measure_normalisation(sample)
    return replace(facts, precision=precision, grey_mean=scale.mean, grey_std=scale.std)


def _source_problems(params: SegmentationParams, source: Volume) -> list[str]:
    name = "image" if params.image else "affinities"
    channels = (1,) if params.image else (3,)
    types = IMAGE_TYPES if params.image else AFFINITY_TYPES
    problems = []
    if source.channels not in channels:
        problems.append(
            f"`{name}`: {source.path} has {source.channels} channels; expected {channels[0]}"
            + ("" if params.image else " (affinities to the neighbours along x, y and z)")
        )
    if str(source.dtype) not in types:
        problems.append(f"`{name}`: {source.path} holds {source.dtype} voxels; allowed are {', '.join(types)}")
    return problems


def _truth_problems(truth: Volume, source: Volume, box: Box) -> list[str]:
    problems = []
    if truth.resolution_nm != source.resolution_nm:
        problems.append(
            f"`ground_truth`: its voxels are {truth.resolution_nm} nm, those of the input {source.resolution_nm} nm; "
            "give labels of the input's resolution"
        )
    if truth.dtype.kind != "u" or truth.channels != 1:
        problems.append(
            f"`ground_truth`: {truth.path} holds {truth.channels} x {truth.dtype}; "
            "expected one unsigned integer label a voxel"
        )
    if truth.box.intersect(box).voxels == 0:
        problems.append(f"`ground_truth`: its box {truth.box} does not meet the run's box {box}")
    return problems


def _space_problems(params: SegmentationParams, box: Box) -> list[str]:
    free = Storage(params.output).free_bytes()
    each = BYTES_PER_VOXEL + (AFFINITY_BYTES[params.affinity_dtype] if params.image else 0)
    needed = box.voxels * each
    if free is None or free >= needed:
        return []
    return [
        f"`output`: {cloud_path(params.output)} has {free / 1e9:.1f} GB free; the run needs about "
        f"{needed / 1e9:.1f} GB ({each} bytes a voxel). Free some, or choose another folder or a smaller `bbox`"
    ]


def _output_problems(run: Run) -> list[str]:
    """An output folder is empty, or holds this very run (which then goes on)."""
    saved = run.storage.get("run.json")
    if saved is None:
        strangers = [name for name in run.storage.names() if not name.startswith(".")][:3]
        if not strangers:
            return []
        return [
            f"`output`: {run.output} already holds other files ({', '.join(strangers)}); choose an empty or new folder"
        ]
    before = json.loads(saved)
    if before["key"] == run.key:
        return []
    now = run.params.model_dump(mode="json")
    changed = [
        f"{name} was {before['params'].get(name)!r}, now {value!r}"
        for name, value in now.items()
        if name != "output" and before["params"].get(name) != value
    ]
    why = "; ".join(changed) or "its input or seuron's version has changed"
    return [f"`output`: {run.output} already holds another run's data ({why}); choose a new folder"]


def _model_problems(model: str) -> list[str]:
    if model_path(model) is not None:
        return []
    return [f"`model`: no net is called {model!r} and no file lies there; shipped are {', '.join(shipped_models())}"]
