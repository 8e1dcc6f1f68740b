"""Where a chunk lies in its volume, and how voxels and voxel edges are numbered there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Triple = tuple[int, int, int]
Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class Place:
    """A box inside a volume of shape `whole`: `minimum` is its first voxel, `maximum` is outside it.

    The index of voxel (x, y, z) is x + X * (y + Y * z); the edge between it and its lower neighbour
    along axis c has the index 3 * voxel + c.

    `segmented` is the part of the volume, as its first voxel and the first outside it, that is segmented;
    None means all of it. Indices are counted in the volume, but only that part has neighbours.
    """

    minimum: Triple
    maximum: Triple
    whole: Triple
    segmented: tuple[Triple, Triple] | None = None

    @classmethod
    def all_of(cls, whole: Triple) -> Place:
        """The place of a chunk that is the whole volume."""
        return cls((0, 0, 0), whole, whole)

    @property
    def shape(self) -> Triple:
        x, y, z = (b - a for a, b in zip(self.minimum, self.maximum, strict=True))
        return (x, y, z)

    @property
    def inner_faces(self) -> list[tuple[int, int]]:
        """The faces (axis, side) behind which what is segmented goes on; side 0 is low, 1 is high."""
        first, end = self.segmented or ((0, 0, 0), self.whole)
        low = [(axis, 0) for axis in range(3) if self.minimum[axis] > first[axis]]
        return low + [(axis, 1) for axis in range(3) if self.maximum[axis] < end[axis]]

    @property
    def padded(self) -> Triple:
        """The shape of the chunk's affinities: one voxel more at inner faces on the high side."""
        x, y, z = (n + ((axis, 1) in self.inner_faces) for axis, n in enumerate(self.shape))
        return (x, y, z)

    def reaches(self, box: Place, face: tuple[int, int]) -> bool:
        """Whether the place lies at a face (axis, side) of a box that holds it."""
        axis, high = face
        return (self.maximum[axis] == box.maximum[axis]) if high else (self.minimum[axis] == box.minimum[axis])

    def voxel_index(self, local: Int64s) -> Int64s:
        """Indices in the volume of voxels that are numbered, x fastest, inside the box."""
        nx, ny, _ = self.shape
        x, y, z = local % nx, local // nx % ny, local // (nx * ny)
        x0, y0, z0 = self.minimum
        index: Int64s = x + x0 + self.whole[0] * (y + y0 + self.whole[1] * (z + z0))
        return index

    def edge_index(self, local: Int64s) -> Int64s:
        """Indices in the volume of edges that are numbered, 3 * voxel + channel, inside the box."""
        return 3 * self.voxel_index(local // 3) + local % 3

    def face_edges(self, axis: int) -> Int64s:
        """Indices in the volume of the edges through the box's low face, as a plane of the other axes."""
        shape = [1 if other == axis else n for other, n in enumerate(self.shape)]
        x, y, z = np.indices(shape, np.int64, sparse=True)
        x0, y0, z0 = self.minimum
        voxel = x + x0 + self.whole[0] * (y + y0 + self.whole[1] * (z + z0))
        plane: Int64s = np.squeeze(3 * voxel + axis, axis=axis)
        return plane
