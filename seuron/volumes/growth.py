"""A layer whose box has grown: blocks that were cut by its old faces are larger now, and called otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seuron.box import Box, Triple, triple
from seuron.storage import Storage
from seuron.volumes.precomputed import block_ranges, read_layer_info


def remove_stale_blocks(path: str, info: dict[str, Any]) -> int:
    """Delete the blocks of the layer at `path` that a layer with the metadata `info` does not have.

    To be called before `info` is written. Returns how many blocks there were to delete; none where the metadata are
    damaged, which do not say what is there then.
    """
    storage = Storage(path)
    before = read_layer_info(storage)
    if before is None or before == info:
        return 0
    stale = sorted(set(stale_blocks(before, info)))
    storage.delete(stale, blocks=True)
    return len(stale)


def stale_blocks(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """The names of the blocks of one `info` that are none of another's, below the layer's path; some twice."""
    scales = {scale["key"]: _Scale(scale) for scale in after["scales"]}
    for scale in before["scales"]:
        old, new = _Scale(scale), scales.get(scale["key"])
        for block in old.blocks() if new is None or not new.same_grid(old) else old.outer_blocks():
            if new is None or not new.has(block):
                yield f"{scale['key']}/{block_ranges(block)}"


class _Scale:
    """One scale of an `info`: its box, in voxels of the scale, and its blocks."""

    def __init__(self, scale: dict[str, Any]) -> None:
        self.box = Box.from_shape(scale["voxel_offset"], scale["size"])
        self.block: Triple = triple(scale["chunk_sizes"][0])

    def same_grid(self, other: _Scale) -> bool:
        """Whether blocks begin at the same voxels."""
        shift = zip(self.box.minimum, other.box.minimum, self.block, strict=True)
        return self.block == other.block and all((a - b) % size == 0 for a, b, size in shift)

    def blocks(self) -> Iterator[Box]:
        return (block for _, block in self.box.cells(self.block))

    def outer_blocks(self) -> Iterator[Box]:
        """The blocks at the high faces, once for each face they touch: no others are cut."""
        for axis in range(3):
            low = list(self.box.minimum)
            low[axis] = self.box.maximum[axis] - 1
            for index in Box(triple(low), self.box.maximum).grid(self.block, self.box.minimum).cells((1, 1, 1)):
                yield self.box.cell(self.block, index[1].minimum)

    def has(self, block: Box) -> bool:
        index = Box(block.minimum, block.maximum).grid(self.block, self.box.minimum).minimum
        return self.box.cell(self.block, index) == block
