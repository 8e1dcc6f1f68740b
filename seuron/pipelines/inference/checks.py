"""What can be checked of an inference before its first task."""

from __future__ import annotations

from dataclasses import replace

from seuron.box import Box
from seuron.engine.plan import MAX_TIER_TASKS
from seuron.errors import SeuronError, did_you_mean
from seuron.nets.models import ModelDescription
from seuron.pipelines.inference.facts import InferenceFacts, InferenceRun
from seuron.pipelines.inference.params import InferenceParams
from seuron.pipelines.stages.predict import net_needs
from seuron.pipelines.stages.predict.cells import choose_cell
from seuron.pipelines.stages.predict.check import image_problems, prediction_facts
from seuron.pipelines.stages.predict.facts import PredictionFacts, WantedChannels
from seuron.volumes import open_volume
from seuron.volumes.precomputed import pyramid_factors

#: What lies in the folder of every run, which no layer can be called like.
RESERVED = frozenset(
    {"gates", "image", "inputs", "keys", "locks", "objects", "stopped", "superseded", "sweep", "tasks"}
)
#: The channel that `myelin_threshold` looks at.
MYELIN = "myelin"


def check(
    params: InferenceParams, before: InferenceRun | None, workers: int
) -> tuple[InferenceFacts | None, list[str]]:
    """The facts of the run's input, and a sentence for each thing that is wrong; None where it cannot be opened."""
    problems: list[str] = []
    try:
        image = open_volume(params.image, params.mip)
    except SeuronError as error:
        return None, [f"`image`: {error}"]
    problems += image_problems(image)
    box = Box.from_corners(params.bbox) if params.bbox else image.box
    if not image.box.contains(box):
        problems.append(f"`bbox`: {box} is outside the volume {image.path}, which is {image.box}")
        box = box.intersect(image.box) if box.intersect(image.box).voxels else image.box
    facts = InferenceFacts(box, image.resolution_nm, scales=1 + len(pyramid_factors(box.shape, image.resolution_nm)))
    kept = before.facts.prediction if before is not None and _same_cells(params, before) else None
    size = choose_cell(params.chunk_size, params.block_size, box) if kept is None else kept.cell
    cells = box.cell_of_at_most(MAX_TIER_TASKS, size), box.minimum if kept is None else kept.origin

    def wanted(described: ModelDescription, problems: list[str]) -> WantedChannels:
        outputs = output_channels(params, described, problems)
        return WantedChannels(outputs, _myelin_channel(params, described, problems))

    found = prediction_facts(params, image, box, cells, wanted, before, problems)
    return replace(facts, prediction=found), problems + _memory_problems(params, found, box)


def _memory_problems(params: InferenceParams, found: PredictionFacts | None, box: Box) -> list[str]:
    if found is None:
        return []
    cell = Box.from_shape((0, 0, 0), [min(c, n) for c, n in zip(found.cell, box.shape, strict=True)])
    needed = net_needs(found, params.block_size, params.batch_size, cell).memory_bytes
    if needed <= params.task_memory * 2**30:
        return []
    return [
        f"`task_memory`: a task of the net would need {needed / 2**30:.1f} GiB, got {params.task_memory:g} GiB. Give a "
        "smaller `chunk_size`, `patch_size` or `batch_size`, or more `task_memory`"
    ]


def _same_cells(params: InferenceParams, before: InferenceRun) -> bool:
    same = (params.chunk_size, params.block_size) == (before.params.chunk_size, before.params.block_size)
    return same and before.facts.prediction is not None


def output_channels(
    params: InferenceParams, described: ModelDescription, problems: list[str]
) -> dict[str, tuple[int, ...]]:
    """The channels of each output of a net that is wanted, by its name."""
    found, first = {}, 0
    for layer in described.outputs:
        found[layer.name] = tuple(range(first, first + len(layer.channels)))
        first += len(layer.channels)
    for name in params.outputs:
        if name not in found:
            near = did_you_mean(name, found, f"it gives {', '.join(found)}")
            problems.append(f"`outputs`: the net {described.name} gives no {name!r}; {near}")
    chosen = {name: channels for name, channels in found.items() if name in params.outputs or not params.outputs}
    for layer in described.outputs:
        if layer.name in chosen:
            problems += _layer_problems(params, layer.name, layer.range)
    return chosen


def _myelin_channel(params: InferenceParams, described: ModelDescription, problems: list[str]) -> int | None:
    if params.myelin_threshold is None:
        return None
    names = [channel.name for layer in described.outputs for channel in layer.channels]
    if MYELIN not in names:
        problems.append(
            f"`myelin_threshold`: the net {described.name} has no channel {MYELIN!r}; it has {', '.join(names)}"
        )
        return None
    return names.index(MYELIN)


def _layer_problems(params: InferenceParams, name: str, numbers: tuple[float, float]) -> list[str]:
    problems = []
    if name in RESERVED:
        problems.append(f"`outputs`: {name!r} is the name of a folder that runs have; rename this output of the net")
    low, high = numbers
    if params.output_dtype == "uint8" and (low < 0 or high > 1):
        problems.append(
            f"`output_dtype`: numbers of {name!r} are from {low:g} to {high:g}, and uint8 holds those from 0 to 1; "
            "give float32"
        )
    return problems


def replacement_problems(before: InferenceRun, run: InferenceRun) -> list[str]:
    """What makes the layers of a run another volume than those of the run before it in the same folder."""
    names = ("image", "mip", "block_size", "output_dtype")
    return [
        f"`output`: {run.output} holds a run whose `{name}` was {getattr(before.params, name)}, now "
        f"{getattr(run.params, name)}; choose a new folder"
        for name in names
        if getattr(before.params, name) != getattr(run.params, name)
    ]
