"""The pyramid of a layer: every scale is pooled from the one below it.

Images are averaged, segmentations take the commonest id of the cell (the smallest of those that are
equally common). Pooling cells start at the layer's first corner; cells at the far faces hold what
is left there. A voxel of a scale depends on its own cell alone, so the result does not depend on
how the work is split, and doing a part twice writes the same bytes.

tensorstore does the pooling: 1300 Mvox/s for uint8 means and 170 Mvox/s for uint64 modes on one
core. Integer means round half to even, as `numpy.rint` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, Triple, triple
from seuron.errors import VolumeError
from seuron.volumes.detection import open_volume
from seuron.volumes.volume import Kind, Missing, Volume

#: Blocks along each side of what is pooled and written at once: with 64^3 blocks the cell read is 256^3 voxels,
#: 134 MB of uint64, which a task can always afford. A shard is written by itself, and pooled by parts of so many
#: voxels.
TILE_BLOCKS = 2
PART_VOXELS = 128**3


def pool(voxels: NDArray[Any], factor: Triple, kind: Kind) -> NDArray[Any]:
    """`voxels` (X, Y, Z, C) pooled by cells of `factor` voxels from its first corner, Fortran order.

    The mean for images, the mode for segmentations; each axis becomes ceil(size / factor) long.
    """
    import tensorstore  # 0.2 s of import that opening a volume does not need

    method: Literal["mode", "mean"] = "mode" if kind == "segmentation" else "mean"
    view = tensorstore.downsample(tensorstore.array(voxels), [*factor, 1], method)
    pooled: NDArray[Any] = view.read(order="F").result()
    return np.asfortranarray(pooled)


def scale_factor(fine: Volume, coarse: Volume) -> Triple:
    """How many voxels of `fine` one voxel of `coarse` covers along each axis."""
    ratios = [c / f for f, c in zip(fine.resolution_nm, coarse.resolution_nm, strict=True)]
    factor = triple([round(ratio) for ratio in ratios])
    if any(f < 1 or abs(ratio - f) > 1e-3 for f, ratio in zip(factor, ratios, strict=True)):
        raise VolumeError(
            f"{coarse.path}: scale {coarse.mip} has voxels of {coarse.resolution_nm} nm, which is no whole multiple "
            f"of scale {fine.mip}'s {fine.resolution_nm} nm; make the layer's info again with `create_volume`"
        )
    return factor


def scale_box(fine: Volume, coarse: Volume, box: Box) -> Box:
    """The voxels of `coarse` whose cells meet `box`, which is in voxels of `fine`."""
    factor, origin, target = scale_factor(fine, coarse), fine.box.minimum, coarse.box.minimum
    low = [t + (a - o) // f for a, o, t, f in zip(box.minimum, origin, target, factor, strict=True)]
    high = [t - (o - b) // f for b, o, t, f in zip(box.maximum, origin, target, factor, strict=True)]
    return Box(triple(low), triple(high)).intersect(coarse.box)


def source_box(fine: Volume, coarse: Volume, box: Box) -> Box:
    """The voxels of `fine` that the voxels `box` of `coarse` are pooled from."""
    factor, origin, target = scale_factor(fine, coarse), fine.box.minimum, coarse.box.minimum
    low = [o + (a - t) * f for a, o, t, f in zip(box.minimum, origin, target, factor, strict=True)]
    high = [o + (b - t) * f for b, o, t, f in zip(box.maximum, origin, target, factor, strict=True)]
    return Box(triple(low), triple(high)).intersect(fine.box)


def pyramid_boxes(target: Volume, box: Box | None = None, tile_blocks: int = TILE_BLOCKS) -> Iterator[Box]:
    """Boxes of `tile_blocks`^3 storage blocks that cover `box` (by default the scale) and share no block.

    They are independent of each other once the scale below is complete.
    """
    whole = target.box
    tile = triple([(1 if target.is_sharded else tile_blocks) * b for b in target.block_size])
    wanted = whole if box is None else box
    start = [o + (a - o) // t * t for a, o, t in zip(wanted.minimum, whole.minimum, tile, strict=True)]
    for _, cell in Box(triple(start), wanted.maximum).cells(tile):
        part = cell.intersect(wanted)
        if part.voxels:
            yield part


def downsample(target: Volume, box: Box, *, missing: Missing = "error") -> int:
    """Fill `box` of the scale `target` from the scale below it; returns the bytes stored.

    `box` is in voxels of `target` and lies on its block grid or on the scale's own faces. Raises
    VolumeError when it does not, and DataError when a block below is missing and `missing` does not
    say that it means zeros.
    """
    if target.mip < 1:
        raise VolumeError(f"{target.path}: scale 0 is not pooled from anything; give a scale from 1 on")
    source = open_volume(target.path, target.mip - 1)
    return sum(target.write(tile, _pooled(source, target, tile, missing)) for tile in pyramid_boxes(target, box))


def _pooled(source: Volume, target: Volume, tile: Box, missing: Missing) -> NDArray[Any]:
    """The voxels of a box of the scale `target`, pooled from the one below: no more of that is held than one part's."""
    factor, part = scale_factor(source, target), list(tile.shape)
    while prod(part) > PART_VOXELS:
        longest = part.index(max(part))
        part[longest] = -(-part[longest] // 2)
    pooled = np.empty((*tile.shape, target.channels), target.dtype, order="F")
    for _, cell in tile.cells(part):
        voxels = source.read(source_box(source, target, cell), missing=missing)
        pooled[cell.within(tile)] = pool(voxels, factor, target.kind)
    return pooled


def downsample_scales(layer: Volume, box: Box, first: int, count: int, *, missing: Missing = "error") -> int:
    """Fill scales `first + 1` to `first + count` below `box`; returns the bytes stored.

    `box` is in voxels of scale 0 and must cover whole blocks of the last of these scales, or end at
    the layer's faces; scale `first` must be complete there. Scales that the layer does not have are
    left out.
    """
    finest, stored = open_volume(layer.path, 0), 0
    for mip in range(first + 1, min(first + count, finest.scales - 1) + 1):
        target = open_volume(layer.path, mip)
        stored += downsample(target, scale_box(finest, target, box), missing=missing)
    return stored


def build_pyramid(layer: Volume, *, missing: Missing = "error") -> int:
    """Fill every scale of a layer above its first, in this process; returns the bytes stored."""
    return downsample_scales(layer, open_volume(layer.path, 0).box, 0, layer.scales - 1, missing=missing)
