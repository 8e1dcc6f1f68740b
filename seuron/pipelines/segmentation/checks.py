"""What can be checked of a segmentation before its first task: its volumes, its memory, what it would replace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from seuron.box import Box
from seuron.errors import ParameterErrors, PermanentError, SeuronError
from seuron.nets.models import describe, known_descriptions, model_path, shipped_models
from seuron.nets.models.fit import resolution_problems
from seuron.pipelines.segmentation.facts import SegmentationRun, VolumeFacts, affinity_dtype
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.pipelines.segmentation.plan import choose_batch_side, choose_inference_cell, largest_over_memory
from seuron.pipelines.segmentation.predicates import with_predicates
from seuron.storage.allowed_paths import path_problems
from seuron.storage.digests import digest_of_bytes
from seuron.volumes import Volume, open_volume
from seuron.volumes.precomputed import pyramid_factors

#: The types that an affinity map may have.
AFFINITY_TYPES = ("uint8", "float32")
#: The types that an image may have.
IMAGE_TYPES = ("uint8",)


def check(
    params: SegmentationParams, before: SegmentationRun | None, workers: int
) -> tuple[VolumeFacts | None, list[str]]:
    """The facts of the run's input, and a sentence for each thing that is wrong.

    `before` is the run that lies in the output folder already; leaves are cut for so many workers. The facts are None
    when the input cannot be opened.
    """
    problems: list[str] = []
    source = _open("image" if params.image else "affinities", params.image or params.affinities or "", params, problems)
    truth = _open("ground_truth", params.ground_truth, params, problems) if params.ground_truth else None
    weights = _weights(params, problems) if params.image else None
    facts = None
    if source is not None:
        problems += _source_problems(params, source)
        box = _box(params, source, problems)
        facts = _facts(params, source, box, before, workers)
        if weights is not None:
            problems += _resolution_problems(params, source, weights)
            facts = _with_net(facts, params, source, weights, before, problems)
        problems += _truth_problems(truth, source, box) if truth is not None else []
        problems += _constraint_problems(params, facts)
        problems += _semantic_problems(params, source, box, problems) if params.semantic else []
        problems += _memory_problems(params, facts)
    return facts, problems


def _box(params: SegmentationParams, source: Volume, problems: list[str]) -> Box:
    """The box to segment; where that is not in the volume, what else is checked is checked of the part that is."""
    box = Box.from_corners(params.bbox) if params.bbox else source.box
    frame = Box.from_corners(params.frame) if params.frame else None
    if frame is not None and not frame.contains(box):
        problems.append(f"`frame`: {frame} does not hold the run's box {box}; give one that does")
    if source.box.contains(box):
        return box
    problems.append(f"`bbox`: {box} is outside the volume {source.path}, which is {source.box}")
    inside = box.intersect(source.box)
    return inside if inside.voxels else source.box


def _open(name: str, path: str, params: SegmentationParams, problems: list[str]) -> Volume | None:
    try:
        return open_volume(path, params.mip)
    except SeuronError as error:
        problems.append(f"`{name}`: {error}")
        return None


def _facts(
    params: SegmentationParams, source: Volume, box: Box, before: SegmentationRun | None, workers: int
) -> VolumeFacts:
    """The facts of a run, those that are chosen once taken from the run that was there before."""
    scales = 1 + len(pyramid_factors(box.shape, source.resolution_nm))
    layers = ["affinities"] if params.image else []
    return VolumeFacts(
        box=box,
        resolution_nm=source.resolution_nm,
        dtype=str(source.dtype),
        scales=dict.fromkeys([*layers, "supervoxels", "segmentation"], scales),
        net="",
        frame=Box.from_corners(params.frame) if params.frame else None,
        source_box=source.box,
        **_cuts(params, box, before, workers),
    )


def _cuts(params: SegmentationParams, box: Box, before: SegmentationRun | None, workers: int) -> dict[str, Any]:
    """How leaves and the net's boxes are cut: as before, so that a run that has grown keeps its tasks."""
    sizes = (params.chunk_size, params.block_size)
    if before is not None and sizes == (before.params.chunk_size, before.params.block_size):
        return {"batch_chunks": before.facts.batch_chunks, "cell": before.facts.cell}
    return {
        "batch_chunks": choose_batch_side(params, box, workers),
        "cell": choose_inference_cell(params, box) if params.image else None,
    }


def _with_net(
    facts: VolumeFacts,
    params: SegmentationParams,
    image: Volume,
    weights: Path,
    before: SegmentationRun | None,
    problems: list[str],
) -> VolumeFacts:
    """Choose once what every task must have alike: the net's arithmetic and the image's grey scale."""
    if str(image.dtype) not in IMAGE_TYPES or image.channels != 1:
        return facts  # these are problems of their own
    facts = replace(facts, net=digest_of_bytes([weights.read_bytes()]))
    kept = before.facts if before is not None and before.facts.net else None
    if kept is not None and before is not None and before.params.precision == params.precision:
        facts = replace(facts, precision=kept.precision)
    else:
        from seuron.nets.predict import hardware_bf16

        precision = params.precision
        if precision == "auto":
            precision = "bf16" if hardware_bf16() else "fp32"
        facts, kept = replace(facts, precision=precision), None
    if params.grey_mean is not None and params.grey_std is not None:
        return replace(facts, grey_mean=params.grey_mean, grey_std=params.grey_std)
    if kept is not None:
        return replace(facts, grey_mean=kept.grey_mean, grey_std=kept.grey_std)
    return _with_measured_scale(facts, params, image, problems)


def _with_measured_scale(
    facts: VolumeFacts, params: SegmentationParams, image: Volume, problems: list[str]
) -> VolumeFacts:
    from seuron.nets.normalisation import measure_image

    try:
        scale = measure_image(lambda box: image.read(box, missing=params.missing_blocks), facts.box)
    except PermanentError as error:
        problems.append(
            f"`image`: {error}. Give a `bbox` with tissue, or the tissue's `grey_mean` and `grey_std` (0 to 255)"
        )
        return facts
    return replace(facts, grey_mean=scale.mean, grey_std=scale.std)


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
    if truth.dtype.kind not in "iu" or truth.channels != 1:
        problems.append(
            f"`ground_truth`: {truth.path} holds {truth.channels} x {truth.dtype}; expected one integer label a voxel"
        )
    elif truth.kind != "segmentation":
        problems.append(
            f"`ground_truth`: {truth.path} is an image ({truth.dtype}), by the `type` in its info; give labels, of the "
            "type segmentation"
        )
    if truth.box.intersect(box).voxels == 0:
        problems.append(f"`ground_truth`: its box {truth.box} does not meet the run's box {box}")
    return problems


def _constraint_problems(params: SegmentationParams, facts: VolumeFacts) -> list[str]:
    """What is wrong with rules for these classes: names that they do not have, predicates that do not compile."""
    dtype = affinity_dtype(params, facts)
    if params.constraints is None or dtype not in AFFINITY_TYPES:  # the latter is a problem of its own
        return []
    from abiss_py import ArgumentError, affinity_type
    from abiss_py.constraints import compile_constraints

    scale = affinity_type(dtype).scale
    try:
        rules = with_predicates(params.rules)
        compile_constraints(rules, params.class_names, params.agglomeration_threshold, scale)
    except ParameterErrors as error:
        return list(error.problems)
    except ArgumentError as error:
        return [f"`constraints`: {error}"]
    return []


def _semantic_problems(params: SegmentationParams, source: Volume, box: Box, problems: list[str]) -> list[str]:
    semantic = _open("semantic", params.semantic or "", params, problems)
    if semantic is None:
        return []
    found = []
    if semantic.resolution_nm != source.resolution_nm:
        found.append(
            f"`semantic`: its voxels are {semantic.resolution_nm} nm, those of the input {source.resolution_nm} nm; "
            "give labels of the input's resolution"
        )
    if semantic.dtype.kind != "u" or semantic.channels != 1:
        found.append(
            f"`semantic`: {semantic.path} holds {semantic.channels} x {semantic.dtype}; "
            "expected one unsigned integer class number a voxel"
        )
    if not semantic.box.contains(box):
        found.append(f"`semantic`: its box {semantic.box} does not contain the run's box {box}")
    return found


def _memory_problems(params: SegmentationParams, facts: VolumeFacts) -> list[str]:
    """Merges and batches are cut so that they fit; what the user has asked for may not."""
    task = largest_over_memory(params, facts)
    if task is None:
        return []
    return [
        f"`task_memory`: the task {task.label} of the {task.stage} would need {task.memory_bytes / 2**30:.1f} GiB, "
        f"got {params.task_memory:g} GiB. Give a smaller `chunk_size` or `batch_chunks`, or more `task_memory`"
    ]


def replacement_problems(before: SegmentationRun, run: SegmentationRun) -> list[str]:
    """What makes the layers of a run another volume than those of the run before it in the same folder.

    Anything else may change: what depends on it is computed again.
    """
    params, facts, old, output = run.params, run.facts, before.facts, run.output
    problems = [
        f"`output`: {output} holds a run whose {what} {was}, now {now}; choose a new folder"
        for what, was, now in (
            ("`image` was", before.params.image, params.image),
            ("`mip` was", before.params.mip, params.mip),
            ("`block_size` was", before.params.block_size, params.block_size),
            ("affinities were", affinity_dtype(before.params, old), affinity_dtype(params, facts)),
        )
        if was != now
    ]
    # An id is 1 + x + X * (y + Y * z): neither the height of the frame nor its upper end matters.
    same = (old.id_frame.minimum, old.id_frame.shape[:2]) == (facts.id_frame.minimum, facts.id_frame.shape[:2])
    if facts.box.contains(old.box) and not same:  # a box that does not hold the old one is a problem of its own
        problems.append(
            f"`frame`: ids in {output} are counted in {old.id_frame}, now in {facts.id_frame}, which would change "
            "them all. Without a `frame` a box may grow at its upper z face only; to grow to other sides, choose a new "
            "folder and give a `frame` from the start that holds all that will ever be segmented"
        )
    return problems


def _resolution_problems(params: SegmentationParams, image: Volume, weights: Path) -> list[str]:
    """Why the net is not for voxels like the image's, and what would be."""
    scales = {mip: open_volume(image.path, mip).resolution_nm for mip in range(image.scales)}
    others = [found for found in known_descriptions() if found.name != describe(weights).name]
    return resolution_problems(describe(weights), scales, params.mip, params.model_resolution_limit, others)


def _weights(params: SegmentationParams, problems: list[str]) -> Path | None:
    """The weights of the run's net; None, with the reason, where they are no weights."""
    from seuron.nets.checkpoint import load_checkpoint

    if refused := path_problems("model", params.model, "input") if params.model not in shipped_models() else []:
        problems += refused
        return None
    path = model_path(params.model)
    if path is None:
        problems.append(
            f"`model`: no net is called {params.model!r} and no file lies there; shipped are "
            f"{', '.join(shipped_models())}"
        )
        return None
    try:
        net, _ = load_checkpoint(path)
    except PermanentError as error:
        problems.append(f"`model`: {error}")
        return None
    step = net.config.granularity
    if any(size % step for size in params.patch_size):
        problems.append(f"`patch_size`: got {params.patch_size}; each side must be a multiple of {step} for this net")
    return path
