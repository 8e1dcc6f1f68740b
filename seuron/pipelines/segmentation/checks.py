"""What can be checked of a segmentation before its first task: its volumes, its memory, what it would replace."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from seuron.box import Box
from seuron.engine.plan import MAX_TIER_TASKS
from seuron.errors import ParameterErrors, SeuronError
from seuron.pipelines.segmentation.facts import SegmentationRun, VolumeFacts, affinity_dtype
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.pipelines.segmentation.plan import choose_batch_side, grid_origin, largest_over_memory
from seuron.pipelines.segmentation.predicates import with_predicates
from seuron.pipelines.segmentation.proofreading.edit_list import content_digest, parse_edits, read_content
from seuron.pipelines.stages.layer_blocks import growth_problems, shard_above, write_unit
from seuron.pipelines.stages.predict.cells import choose_cell
from seuron.pipelines.stages.predict.check import image_problems, prediction_facts
from seuron.pipelines.stages.predict.facts import PredictionFacts, WantedChannels
from seuron.volumes import Volume, open_volume
from seuron.volumes.volume import pyramid_factors

if TYPE_CHECKING:
    from seuron.nets.models import ModelDescription

#: The types that an affinity map may have.
AFFINITY_TYPES = ("uint8", "float32")
#: The neighbours along x, y and z whose affinities a segmentation works on.
NEIGHBOURS = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))


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
    facts = None
    if source is not None:
        problems += _source_problems(params, source)
        box = _box(params, source, problems)
        problems += _decoding_problems("image" if params.image else "affinities", source, box)
        facts = _facts(params, source, box, before, workers)
        if params.image:
            facts = replace(facts, prediction=_prediction(params, source, facts, before, problems))
        problems += _truth_problems(truth, source, box) if truth is not None else []
        problems += _constraint_problems(params, facts)
        problems += _semantic_problems(params, source, box, problems) if params.semantic else []
        problems += _memory_problems(params, facts)
        facts = _with_edits(params, facts, problems) if params.edits else facts
    return facts, problems


def _with_edits(params: SegmentationParams, facts: VolumeFacts, problems: list[str]) -> VolumeFacts:
    """The facts with the digest of the edit list, which is checked as far as it can be without supervoxels."""
    assert params.edits is not None
    try:
        content = read_content(params.edits)
        problems += [f"`edits`: {problem}" for problem in parse_edits(content, params.edits).problems_in(facts.box)]
    except ParameterErrors as error:
        problems += error.problems
        return facts
    except SeuronError as error:
        problems.append(f"`edits`: {error}")
        return facts
    return replace(facts, edits=content_digest(content))


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


def _decoding_problems(name: str, volume: Volume, box: Box) -> list[str]:
    """What keeps a block of an input from being decoded, told before the first task; one that is stored is tried."""
    try:
        volume.check_decoding(box)
    except SeuronError as error:
        return [f"`{name}`: {error}"]
    return []


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
        frame=Box.from_corners(params.frame) if params.frame else None,
        **_cuts(params, box, before, workers),
        shard_above=shard_above(params.block_size, params.shard_above, box, before),
    )


def _cuts(params: SegmentationParams, box: Box, before: SegmentationRun | None, workers: int) -> dict[str, Any]:
    """How leaves are cut: as before, so that a run that has grown keeps its tasks."""
    if before is not None and _same_cuts(params, before):
        return {"batch_chunks": before.facts.batch_chunks}
    return {"batch_chunks": choose_batch_side(params, box, workers)}


def _same_cuts(params: SegmentationParams, before: SegmentationRun) -> bool:
    return (params.chunk_size, params.block_size) == (before.params.chunk_size, before.params.block_size)


def _prediction(
    params: SegmentationParams,
    image: Volume,
    facts: VolumeFacts,
    before: SegmentationRun | None,
    problems: list[str],
) -> PredictionFacts | None:
    """How the net is run, in the cells of the run before, so that a run that has grown keeps its tasks."""
    kept = before.facts.prediction if before is not None and _same_cuts(params, before) else None
    unit = write_unit(params.block_size, facts.box, facts.shard_above)
    cell = choose_cell(params.chunk_size, unit, facts.box) if kept is None else kept.cell
    cells = facts.box.cell_of_at_most(MAX_TIER_TASKS, cell), grid_origin(facts, unit)
    return prediction_facts(params, image, facts.box, cells, affinity_channels, before, problems)


def _source_problems(params: SegmentationParams, source: Volume) -> list[str]:
    if params.image:
        return image_problems(source)
    problems = []
    if source.channels != 3:
        problems.append(
            f"`affinities`: {source.path} has {source.channels} channels; expected 3 (affinities to the neighbours "
            "along x, y and z)"
        )
    if str(source.dtype) not in AFFINITY_TYPES:
        allowed = ", ".join(AFFINITY_TYPES)
        problems.append(f"`affinities`: {source.path} holds {source.dtype} voxels; allowed are {allowed}")
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
    elif truth.kind != "segmentation" and truth.kind_origin:
        problems.append(
            f"`ground_truth`: {truth.path} is an image ({truth.dtype}), by {truth.kind_origin}; give labels, of the "
            "type segmentation"
        )
    if truth.box.intersect(box).voxels == 0:
        problems.append(f"`ground_truth`: its box {truth.box} does not meet the run's box {box}")
    return problems + _decoding_problems("ground_truth", truth, box)


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
    return found + _decoding_problems("semantic", semantic, box)


def affinity_channels(described: ModelDescription, problems: list[str]) -> WantedChannels:
    """The channels of a net with the affinities of each voxel and those before it along x, y and z."""
    offsets = [channel.offset for layer in described.outputs for channel in layer.channels]
    missing = [str(offset) for offset in NEIGHBOURS if offset not in offsets]
    if missing:
        named = ", ".join(f"{channel.name}" for layer in described.outputs for channel in layer.channels)
        problems.append(
            f"`model`: a segmentation needs affinities with the voxels at {', '.join(missing)}, and {described.name} "
            f"gives {named}; choose a net with these, or run the pipeline inference"
        )
        return WantedChannels({"affinities": ()})
    return WantedChannels({"affinities": tuple(offsets.index(offset) for offset in NEIGHBOURS)})


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
            ("`layer_format` was", before.params.layer_format, params.layer_format),
            ("affinities were", affinity_dtype(before.params, old), affinity_dtype(params, facts)),
        )
        if was != now
    ]
    problems += growth_problems(before, run)
    # An id is 1 + x + X * (y + Y * z): neither the height of the frame nor its upper end matters.
    same = (old.id_frame.minimum, old.id_frame.shape[:2]) == (facts.id_frame.minimum, facts.id_frame.shape[:2])
    if facts.box.contains(old.box) and not same:  # a box that does not hold the old one is a problem of its own
        problems.append(
            f"`frame`: ids in {output} are counted in {old.id_frame}, now in {facts.id_frame}, which would change "
            "them all. Without a `frame` a box may grow at its upper z face only; to grow to other sides, choose a new "
            "folder and give a `frame` from the start that holds all that will ever be segmented"
        )
    return problems
