"""A layer whose box has grown: blocks that were cut by its old faces are larger now, and those files are removed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from seuron.box import Box, Triple, triple
from seuron.errors import SeuronError
from seuron.storage import Storage
from seuron.volumes.detection import open_volume
from seuron.volumes.layouts import LayerLayout
from seuron.volumes.precomputed import block_ranges, precomputed_info, read_layer_info
from seuron.volumes.volume import Volume


def remove_stale_blocks(path: str, layout: LayerLayout) -> int:
    """Delete the blocks of the layer at `path` that a layer with this layout does not have.

    To be called before its metadata are written. Returns how many blocks there were to delete; none where the metadata
    are damaged, which do not say what is there then.
    """
    storage = Storage(path)
    if layout.layer_format == "precomputed":
        before, after = read_layer_info(storage), precomputed_info(layout)
        stale = set() if before is None or before == after else set(stale_blocks(before, after))
    else:
        stale = set(_stale_arrays(path, layout))
    storage.delete(sorted(stale), blocks=True)
    return len(stale)


def stale_blocks(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """The names of the blocks of one `info` that are none of another's, below the layer's path; some twice."""
    scales = {scale["key"]: _Grid.of_info(scale) for scale in after["scales"]}
    for scale in before["scales"]:
        for block in _Grid.of_info(scale).blocks_not_in(scales.get(scale["key"])):
            yield f"{scale['key']}/{block_ranges(block)}"


def _stale_arrays(path: str, layout: LayerLayout) -> Iterator[str]:
    """The names of the files of an OME-Zarr layer that hold other voxels in a layer with this layout; some twice.

    Chunks are named by their places in the grid: where the grid begins elsewhere, all of them are stale.
    """
    for mip, before in enumerate(_scales(path)):
        scale = layout.scales[mip] if mip < len(layout.scales) else None
        new = _Grid(scale.box, scale.block) if scale is not None else None
        old = _Grid(before.box, before.block_size)
        for block in old.blocks_not_in(new if new is not None and new.box.minimum == old.box.minimum else None):
            yield from before.files(block)


def _scales(path: str) -> list[Volume]:
    """The scales of a layer; none where it is not there or damaged."""
    try:
        first = open_volume(path)
        return [open_volume(path, mip) for mip in range(first.scales)]
    except SeuronError:
        return []


@dataclass(frozen=True)
class _Grid:
    """The blocks of one scale: its box, in voxels of the scale, and the size of a block."""

    box: Box
    block: Triple

    @classmethod
    def of_info(cls, scale: dict[str, Any]) -> _Grid:
        return cls(Box.from_shape(scale["voxel_offset"], scale["size"]), triple(scale["chunk_sizes"][0]))

    def blocks_not_in(self, other: _Grid | None) -> Iterator[Box]:
        """Its blocks that are none of another grid's; some twice."""
        for block in self._all() if other is None or not other._same(self) else self._outer():
            if other is None or not other._has(block):
                yield block

    def _same(self, other: _Grid) -> bool:
        """Whether blocks begin at the same voxels."""
        shift = zip(self.box.minimum, other.box.minimum, self.block, strict=True)
        return self.block == other.block and all((a - b) % size == 0 for a, b, size in shift)

    def _all(self) -> Iterator[Box]:
        return (block for _, block in self.box.cells(self.block))

    def _outer(self) -> Iterator[Box]:
        """The blocks at the high faces, once for each face they touch: no others are cut."""
        for axis in range(3):
            low = list(self.box.minimum)
            low[axis] = self.box.maximum[axis] - 1
            for index in Box(triple(low), self.box.maximum).grid(self.block, self.box.minimum).cells((1, 1, 1)):
                yield self.box.cell(self.block, index[1].minimum)

    def _has(self, block: Box) -> bool:
        index = Box(block.minimum, block.maximum).grid(self.block, self.box.minimum).minimum
        return self.box.cell(self.block, index) == block
