"""Stage `pyramid`: the coarser scales of every layer that a run writes. Every pipeline may have it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from math import lcm
from typing import Any

from seuron.box import Box, Triple, triple
from seuron.engine.inputs import inputs_digest, parts_read
from seuron.engine.pipeline import Counts, Inputs, Layer, Stage
from seuron.engine.plan import MAX_TIER_TASKS, Estimate, Task, Tier, Work
from seuron.engine.run import Run

#: The name of the stage.
PYRAMID = "pyramid"
#: Scales that one task makes at once.
SCALES_PER_TASK = 3
#: Tiers at most, and what machines they ask for: 13 scales in all.
TIERS = 4
_CPU: tuple[Work, ...] = ("cpu",)
WORK = _CPU * TIERS
#: Voxels that a task holds at once.
HELD_VOXELS = 256**3
#: Mvox/s of a core, and bytes for a voxel that is held (docs/performance.md); later tiers see coarser scales.
RATE, BYTES_PER_VOXEL = 15.0, 24
LATER_SHARE = 0.1


def pyramid_stage(
    layers: Callable[[Any, Any], Sequence[Layer]],
    *,
    origin: Callable[[Any, Triple], Triple] = lambda facts, cell: facts.box.minimum,
    parameters: tuple[str, ...] = (),
) -> Stage:
    """The stage, behind those that write the layers.

    Args:
        layers: those of the pipeline, as in `Pipeline.layers`. A stage that writes one names what it was made from in
            its `inputs` by the layer's name.
        origin: where the grid of tasks begins, for a run's facts and a cell of the grid. A run whose box grows
            keeps those tasks that it keeps in place.
        parameters: those on which the layers' storage blocks depend.
    """

    def plan(params: Any, facts: Any) -> Sequence[Tier]:
        return _plan([layer for layer in layers(params, facts) if layer.stage], facts, origin)

    return Stage(
        name=PYRAMID,
        module=__name__,
        version=1,
        work=WORK,
        plan=plan,
        parameters=parameters,
        reads=_reads,
        settings=_settings,
    )


def _plan(written: Sequence[Layer], facts: Any, origin: Callable[[Any, Triple], Triple]) -> Sequence[Tier]:
    """Each tier makes up to `SCALES_PER_TASK` scales of every layer, in boxes that share no block.

    A task's box is in voxels of scale 0; its tier says which scales it makes.
    """
    tiers = []
    for number in range(TIERS):
        first = number * SCALES_PER_TASK
        found = [layer for layer in written if layer.scales > first + 1]
        if not found:
            break
        cell = _cell(found, facts, first)
        names = tuple(layer.name for layer in found)
        needs = _first_needs if number == 0 else _later_needs
        tiers.append(Tier.of_cells(facts.box, cell, needs, origin=origin(facts, cell), layers=names))
    return tuple(tiers)


def _cell(layers: Sequence[Layer], facts: Any, first: int) -> Triple:
    """Voxels of scale 0 that are whole blocks, and shards, of the scales above `first` that a task makes.

    Halving every axis at every scale is the most a pyramid does, so this holds for every pyramid.
    """
    last = first + SCALES_PER_TASK
    units = [[b << last for b in layer.block_size] for layer in layers]
    for layer in (layer for layer in layers if layer.shard_above):
        for mip, scale in enumerate(layer.layout(facts).scales[first + 1 : last + 1], first + 1):
            times = [b // c for b, c in zip(scale.block, scale.chunk, strict=True)]
            units.append([b * t << mip for b, t in zip(layer.block_size, times, strict=True)])
    cell = triple([lcm(*sizes) for sizes in zip(*units, strict=True)])
    box: Box = facts.box
    return box.cell_of_at_most(MAX_TIER_TASKS, cell)


def _first_needs(index: Triple, box: Box) -> Estimate:
    return Estimate.of_voxels(box, RATE, BYTES_PER_VOXEL, HELD_VOXELS)


def _later_needs(index: Triple, box: Box) -> Estimate:
    return Estimate.of_voxels(box, RATE / LATER_SHARE, BYTES_PER_VOXEL, HELD_VOXELS)


def _reads(run: Run, task: Task) -> Iterator[Task]:
    """What wrote the scale that a task begins with, in its box."""
    if task.tier > 0:
        yield from run.plan.stage(PYRAMID).tiers[task.tier - 1].meeting(task.box, task.layer)
        return
    for tier in run.plan.stage(_layer(run, task).stage).tiers:
        yield from tier.meeting(task.box)


def _settings(run: Run, task: Task) -> dict[str, Any]:
    factors = _factors(run.facts.box.shape, run.facts.resolution_nm)[: (task.tier + 1) * SCALES_PER_TASK]
    return {"dtype": _layer(run, task).dtype, "place": {"factors": factors}}


def _layer(run: Run, task: Task) -> Layer:
    return next(layer for layer in run.layers if layer.name == task.layer)


@lru_cache(maxsize=4)
def _factors(shape: Triple, resolution_nm: tuple[float, float, float]) -> list[Triple]:
    """`pyramid_factors`, which is asked for by every task of a plan."""
    from seuron.volumes.volume import pyramid_factors

    return pyramid_factors(shape, resolution_nm)


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
