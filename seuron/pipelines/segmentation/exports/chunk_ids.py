"""The ids of PyChunkedGraph: a layer, a chunk, and a number in the chunk, in 64 bits.

From the highest bit on: 8 bits of layer, `spatial_bits` each of the chunk's place along x, y and z, and the rest the
number. Supervoxels are of layer 1, chunks are counted from the first voxel of the layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, Triple, triple

Int64s = NDArray[np.int64]

LAYER_BITS = 8
SUPERVOXEL_LAYER = 1
#: What PyChunkedGraph's own graphs have.
SPATIAL_BITS = 10


@dataclass(frozen=True)
class ChunkIds:
    """The chunks that a volume is cut into, and the ids in them."""

    box: Box
    chunk_size: Triple
    spatial_bits: int

    @classmethod
    def of(cls, box: Box, chunk_size: Triple) -> ChunkIds:
        """As many bits for a chunk's place as `SPATIAL_BITS`, or as its largest place has."""
        needed = max(box.grid_shape(chunk_size)) - 1
        return cls(box, chunk_size, max(SPATIAL_BITS, needed.bit_length()))

    @property
    def number_bits(self) -> int:
        """The bits of a number in a chunk."""
        return 64 - LAYER_BITS - 3 * self.spatial_bits

    @property
    def places(self) -> Box:
        """The places of all chunks, from 0, 0, 0 on."""
        return Box((0, 0, 0), self.box.grid_shape(self.chunk_size))

    def chunk(self, place: Triple) -> Box:
        """The voxels of a chunk."""
        return self.box.cell(self.chunk_size, place)

    def chunk_id(self, place: Triple) -> int:
        """The id of a chunk: of its supervoxels, with the number 0."""
        found = SUPERVOXEL_LAYER
        for at in place:
            found = found << self.spatial_bits | at
        return found << self.number_bits

    def chunk_of(self, ids: Int64s) -> Int64s:
        """The ids of the chunks that supervoxels lie in."""
        return ids >> self.number_bits << self.number_bits

    def numbers(self, ids: Int64s) -> Int64s:
        """The numbers of supervoxels in their chunks, from 1."""
        return ids & ((1 << self.number_bits) - 1)

    def place_of(self, chunk_id: int) -> Triple:
        """The place of the chunk with an id: the inverse of `chunk_id`."""
        left, found = chunk_id >> self.number_bits, []
        for _ in range(3):
            found.append(left & ((1 << self.spatial_bits) - 1))
            left >>= self.spatial_bits
        return triple(found[::-1])
