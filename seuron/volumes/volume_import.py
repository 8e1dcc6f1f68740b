"""A user's own data becomes a layer with its pyramid.

An import is planned first (`import_plan`), which writes nothing. Then it is copied in slabs that lie on the layer's
blocks, by several processes, which share `SLAB_BYTES`. A block that is stored is not read again, so an import that was
killed is continued by the same call; a record in the layer's folder keeps any other from doing that.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, reduce
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, Triple, triple
from seuron.errors import DataError, VolumeError
from seuron.process_pool import as_finished, process_pool
from seuron.storage import Storage
from seuron.volumes import Volume, create_volume, open_volume
from seuron.volumes.import_plan import ImportPlan, Window, open_for_layer, plan_import, understand, with_window
from seuron.volumes.import_record import destination_problem, record_import
from seuron.volumes.layouts import LayerFormat
from seuron.volumes.pyramid import downsample, pyramid_boxes
from seuron.volumes.section_spool import section_spool
from seuron.volumes.sources.source import SourceOptions, SourceVolume
from seuron.volumes.volume import Kind

#: Bytes of the source that all processes together hold at once, apart from what one block takes anyway. Each makes two
#: copies of its part, so with two processes of 200 MiB the whole stays well below 1 GiB.
SLAB_BYTES = 128 << 20
#: A process more takes two seconds to begin, in which a process copies some tens of MiB.
BYTES_WORTH_A_PROCESS = 128 << 20

#: A function and its arguments; it returns how many voxels it has dealt with.
Call = tuple[Callable[..., int], tuple[Any, ...]]
#: Called with what is going on, the bytes that are done and all of them.
Progress = Callable[[str, int, int], None]


def run_import(plan: ImportPlan, *, workers: int = 1, progress: Progress | None = None) -> Volume:
    """Write what a plan says, all scales, by at most `workers` processes, and open the first scale.

    Blocks that are stored are left as they are. Raises VolumeError where the destination holds another layer, and
    DataError for voxels that cannot be what the plan says, such as labels below 0.
    """
    storage = Storage(plan.destination)
    if (conflict := destination_problem(storage, plan.facts)) is not None:
        raise VolumeError(conflict)
    record_import(storage, plan.facts)  # before any of the layer's own files, which then are known for this import's
    volume = create_volume(
        plan.destination,
        plan.box,
        plan.resolution_nm,
        dtype=plan.dtype,
        channels=plan.channels,
        kind=plan.kind,
        block_size=plan.block_size,
        layer_format=plan.layer_format,
    )
    needed = _processes(plan, volume, workers)
    limit = SLAB_BYTES // needed
    parts = import_parts(plan, volume, limit)
    with _calls(needed, plan) as run:
        _follow("copy", run((_copy_part, (plan, part, limit)) for part in parts), plan, parts, progress)
        for mip in range(1, volume.scales):
            tiles = list(pyramid_boxes(open_volume(volume.path, mip), tile_blocks=2 if plan.voxel_bytes <= 2 else 1))
            calls = ((_pool_tile, (volume.path, mip, tile)) for tile in tiles)
            _follow(f"scale {mip}", run(calls), plan, tiles, progress)
    return volume


def import_volume(
    source: str,
    destination: str,
    resolution_nm: Sequence[float] | None = None,
    *,
    options: SourceOptions | None = None,
    kind: Kind | None = None,
    window: Window | None = None,
    block_size: Triple = (64, 64, 64),
    layer_format: LayerFormat = "precomputed",
    workers: int = 1,
    progress: Progress | None = None,
) -> Volume:
    """Write `source` as a layer at `destination`, all scales, and open its first scale.

    `source` is anything that `seuron.volumes.sources` reads. `resolution_nm` is the voxel size in x, y, z; None takes
    what the file says. Importing again over an unfinished import finishes it. Raises what `plan_import` and
    `run_import` raise.
    """
    options = options or SourceOptions()
    if resolution_nm is not None:
        x, y, z = (float(value) for value in resolution_nm)
        options = replace(options, resolution_nm=(x, y, z))
    options = with_window(source, options, window)
    inspection = understand(source, options, kind=kind)
    plan = plan_import(inspection, source, destination, options, block_size=block_size, layer_format=layer_format)
    return run_import(plan, workers=workers, progress=progress)


def default_workers() -> int:
    """Two processes, which with the one that starts them stay below 1 GiB, or one where there is one core only."""
    return min(2, len(os.sched_getaffinity(0)))


def _processes(plan: ImportPlan, volume: Volume, workers: int) -> int:
    """As many processes as are worth their start, and as can hold a block each: that of a layer in shards is large."""
    worth = -(-plan.box.voxels * plan.voxel_bytes // BYTES_WORTH_A_PROCESS)
    return max(1, min(workers, worth, SLAB_BYTES // (prod(volume.block_size) * plan.voxel_bytes)))


def import_parts(plan: ImportPlan, volume: Volume, limit: int = SLAB_BYTES) -> list[Box]:
    """What one process copies at once, on the layer's blocks: slabs, or all slabs of some sections that go together.

    Sections go together where a slab holds no whole stored block of the source, such as a compressed section.
    """
    unit = _slab_unit(volume.block_size, plan.stored, limit // plan.voxel_bytes)
    if unit is not None:
        return slabs(plan.box, unit, plan.voxel_bytes, limit)
    x, y, _ = plan.box.shape
    return [part for _, part in plan.box.cells((x, y, volume.block_size[2]))]


def slabs(box: Box, unit: Triple, voxel_bytes: int, limit: int) -> list[Box]:
    """Boxes on a grid of `unit` that cover `box`, of about `limit` bytes at most: whole sections while they fit."""
    cell = [box.shape[0], box.shape[1], unit[2]]
    for axis in (1, 0):  # rows of a section are stored together, so they are cut last
        while cell[0] * cell[1] * cell[2] * voxel_bytes > limit and cell[axis] > unit[axis]:
            units = -(-cell[axis] // unit[axis])
            cell[axis] = -(-units // 2) * unit[axis]
    return [part for _, part in box.cells(triple(cell))]


def _slab_unit(block: Triple, stored: Triple | None, voxels: int) -> Triple | None:
    """The least box of whole blocks of the layer that holds a stored block of the source; None where that is too much.

    A stored block then is read once, or twice where the grids do not meet.
    """
    if stored is None:
        return block
    unit = triple([-(-max(b, s) // b) * b for b, s in zip(block, stored, strict=True)])
    return unit if prod(unit) <= max(voxels, prod(block)) else None


@contextmanager
def _calls(workers: int, plan: ImportPlan) -> Iterator[Callable[[Iterable[Call]], Iterator[int]]]:
    """A function that makes calls, in this process or in a pool, and gives their ends in any order."""
    if workers <= 1:
        try:
            yield lambda calls: (function(*arguments) for function, arguments in calls)
        finally:
            if _source.cache_info().currsize:
                _source(plan).close()
            _source.cache_clear()
        return
    with process_pool(workers) as pool:
        try:
            yield lambda calls: as_finished(pool, calls)
        except BrokenProcessPool as error:
            raise VolumeError(
                f"a process of the import into {plan.destination} died (killed, or out of memory); "
                "import again: it goes on with what is not stored. --workers 1 takes the least memory"
            ) from error


def _follow(what: str, ends: Iterator[int], plan: ImportPlan, parts: Sequence[Box], progress: Progress | None) -> None:
    """Wait for all calls, and say after each what is done."""
    total, done = sum(part.voxels for part in parts) * plan.voxel_bytes, 0
    for voxels in ends:
        done += voxels * plan.voxel_bytes
        if progress is not None:
            progress(what, done, total)


@cache
def _source(plan: ImportPlan) -> SourceVolume:
    """The plan's source, opened once in a process."""
    return open_for_layer(plan.source, plan.options, plan.kind)


def _copy_part(plan: ImportPlan, part: Box, limit: int) -> int:
    """Copy what is not stored of a part; returns its voxels."""
    volume, source = open_volume(plan.destination), _source(plan)
    missing = _missing(volume, part)
    if missing is None:
        return part.voxels
    pieces = slabs(part, volume.block_size, plan.voxel_bytes, limit)
    if len(pieces) == 1:
        _copy_missing(plan, volume, source.read, part)
        return part.voxels
    first, end = (z - plan.box.minimum[2] for z in (missing.minimum[2], missing.maximum[2]))
    with section_spool(source, first, end - first, limit) as read:
        for piece in pieces:
            _copy_missing(plan, volume, read, piece)
    return part.voxels


def _copy_missing(plan: ImportPlan, volume: Volume, read: Callable[[Box], NDArray[Any]], part: Box) -> None:
    missing = _missing(volume, part)
    if missing is not None:
        voxels = read(missing.shifted([-corner for corner in plan.box.minimum]))
        volume.write(missing, _converted(voxels, volume, plan.source))


def _missing(volume: Volume, part: Box) -> Box | None:
    """The least box of whole blocks that holds all of a part that is not stored; None where all is.

    An interrupted import lacks the blocks from one on, so it is tight.
    """
    lost = volume.missing_blocks(part)
    return reduce(Box.hull, volume.blocks(reduce(Box.hull, lost))) if lost else None


def _converted(voxels: NDArray[Any], volume: Volume, name: str) -> NDArray[Any]:
    if volume.kind == "segmentation" and voxels.dtype.kind == "i" and voxels.size and voxels.min() < 0:
        raise DataError(
            f"{name} holds the label {voxels.min()}; labels are 0 (nothing) or above: make the unlabelled voxels 0"
        )
    return np.asfortranarray(voxels.astype(volume.dtype, copy=False))


def _pool_tile(path: str, mip: int, tile: Box) -> int:
    """Pool a part of a scale from the one below, where it is not stored; returns its voxels."""
    target = open_volume(path, mip)
    if target.missing_blocks(tile):
        downsample(target, tile)
    return tile.voxels
