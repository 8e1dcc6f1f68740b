"""Stage `predict`: a net over an image, to any number of layers. Every pipeline with a net has it.

params   the parameters of a net, which pipelines inherit
facts    what is found and chosen once, when a run is prepared
check    finds it, and says what is wrong
cells    which task computes which patch, and which writes which block
masks    masks at their own resolution
work     what a task does
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from seuron.box import Box, Triple
from seuron.engine.pipeline import Stage
from seuron.engine.plan import BASE_BYTES, Estimate, Task, Tier
from seuron.pipelines.stages.predict.params import RESULT_PARAMETERS

if TYPE_CHECKING:
    from seuron.engine.run import Run
    from seuron.pipelines.stages.predict.facts import PredictionFacts

_PACKAGE = __name__
#: Mvox/s of the net's own voxels on a core, by the task records of FIB-25 (docs/performance.md), and bytes that a
#: patch takes for each of its voxels while the net runs.
NET_RATE, NET_BYTES_PER_VOXEL = 0.5, 600
#: Mvox/s of a cell that adds up what tasks handed on, and bytes of a voxel and channel: sums and numbers.
SEAM_RATE = 15.0
#: Bytes of a sum, and of a number of a row that is being stored.
SUM_BYTES, ROW_BYTES = 4, 9


def predict_stage(name: str = "predict", *, parameters: tuple[str, ...] = ()) -> Stage:
    """The stage.

    It writes the layers of the run whose `stage` it is, from the channels that `PredictionFacts.outputs` names. The
    run's parameters are `PredictParams`, and its facts have a `prediction`, None where no net is run.

    Args:
        name: of the stage.
        parameters: those that the layers' types depend on, beside `RESULT_PARAMETERS`.
    """
    return Stage(
        name=name,
        module=f"{_PACKAGE}.work",
        version=2,
        work=("gpu", "cpu"),
        plan=_plan,
        parameters=(*RESULT_PARAMETERS, *parameters),
        reads=_reads,
        settings=_settings,
        sources=_sources,
    )


def _plan(params: Any, facts: Any) -> Sequence[Tier]:
    """The net on the patches of each cell; where there are several cells, what lies between them."""
    if facts.prediction is None:
        return ()
    cell, origin = facts.prediction.cell, facts.prediction.origin

    def needs(index: Triple, box: Box) -> Estimate:
        return net_needs(facts.prediction, params.block_size, params.batch_size, box)

    net = Tier.of_cells(facts.box, cell, needs, origin=origin)
    if len(net) == 1:
        return (net,)
    return (net, Tier.of_cells(facts.box, cell, lambda index, box: _seam_needs(facts.prediction, box), origin=origin))


def net_needs(prediction: PredictionFacts, block: Triple, batch: int, box: Box) -> Estimate:
    """What a task of the net needs for a cell: the sums of its window along z, rows on their way out, and the net."""
    patch, channels = prediction.patch_size, len(prediction.channels)
    strides = [p - o for p, o in zip(patch, prediction.patch_overlap, strict=True)]
    computed = prod(max(1, size / s) * p for size, p, s in zip(box.shape, patch, strides, strict=True))
    plane = (box.shape[0] + patch[0]) * (box.shape[1] + patch[1]) * channels
    height = 2 * (patch[2] + block[2]) + 3 * block[2]  # the window is copied as it moves, and three rows wait
    numbers = plane * (height * SUM_BYTES + block[2] * ROW_BYTES)
    held = batch * prod(patch) * NET_BYTES_PER_VOXEL
    return Estimate(round(computed / NET_RATE / 1e6, 3), int(BASE_BYTES + numbers + held))


def _seam_needs(prediction: PredictionFacts, box: Box) -> Estimate:
    held = box.shape[0] * box.shape[1] * min(box.shape[2], 256)
    numbers = held * len(prediction.channels) * (SUM_BYTES + ROW_BYTES)
    return Estimate(round(box.voxels / SEAM_RATE / 1e6, 3), int(BASE_BYTES + numbers))


def _reads(run: Run, task: Task) -> Iterable[Task | Tier]:
    """Of a task between cells: those whose patches reach its cell, its own among them."""
    if task.tier == 0:
        return ()
    from seuron.pipelines.stages.predict.facts import cells_of

    tier = run.plan.stage(task.stage).tiers[0]
    cells = cells_of(run.params, run.facts)
    met = cells.contributors(task.index)
    return tier.within(met.hull(Box.from_shape(task.index, (1, 1, 1))))


def _settings(run: Run, task: Task) -> Mapping[str, Any]:
    from seuron.pipelines.stages.predict.facts import cells_of

    cells, facts = cells_of(run.params, run.facts), run.facts.prediction
    parts = cells.parts(task.index)
    factors = {name: mask.factor for name, mask in facts.masks.items()}
    shared = {"outputs": facts.outputs, "masking": facts.masking, "masks": factors}
    if task.tier:
        near = [cells.parts(other.index) for other in _reads(run, task) if isinstance(other, Task)]
        place = {"written": parts.written.corners, "parts": [[p.reach.corners, p.own.corners] for p in near]}
        return {**shared, "place": place}
    grid = cells.grid
    # A patch's shares depend on how many others overlap it.
    overlapping = [-(-size // stride) for size, stride in zip(grid.patch_size, grid.stride, strict=True)]
    ends = zip(grid.count, parts.patches.maximum, overlapping, strict=True)
    return {
        **shared,
        "net": facts.net,
        "engine": [facts.engine, facts.precision],
        "grey scale": _grey_scale(facts, grid.patches(parts.patches) if parts.patches.voxels else parts.cell),
        "patch size": grid.patch_size,
        "place": {
            "patches": [grid.image.minimum, parts.patches.corners, [min(n - i, r) for n, i, r in ends]],
            "image": _seen(run, task).corners,
            "parts": [box.corners for box in (parts.reach, parts.own, parts.written)],
        },
    }


def _grey_scale(facts: Any, seen: Box) -> list[Any]:
    """The grey scale as far as a task sees it."""
    if not facts.sections:
        return [facts.grey_mean, facts.grey_std]
    low, high = (end - facts.first_section for end in (seen.minimum[2], seen.maximum[2]))
    last = len(facts.sections) - 1
    return [facts.sections[min(max(0, z), last)] for z in range(low, high)]


def _seen(run: Run, task: Task) -> Box:
    """What a task's patches see of the image; of a task without any, what those see that reach its cell."""
    from seuron.pipelines.stages.predict.facts import cells_of

    cells = cells_of(run.params, run.facts)
    patches = cells.parts(task.index).patches
    return cells.grid.patches(patches if patches.voxels else cells.grid.meeting(task.box))


def _sources(run: Run, task: Task) -> Mapping[str, Box]:
    return dict(_sources_seen(run, task))


def _sources_seen(run: Run, task: Task) -> Iterator[tuple[str, Box]]:
    from seuron.pipelines.stages.predict.masks import masks_seen

    if task.tier == 0:
        yield "image", _seen(run, task)
        yield from masks_seen(run, ("image_mask",), _seen(run, task))
    yield from masks_seen(run, ("output_mask",), task.box)
