"""A surface as triangles, and what is done with surfaces in memory.

Corners lie on the lattice of half voxels, where marching cubes on labels puts them and simplification leaves them. So
they are integers, and surfaces of neighbouring cells have the same corners on the plane between them, to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Corners = NDArray[np.int32]
Triangles = NDArray[np.uint32]
#: Bits of a coordinate where three of them make one number.
_BITS = 21


class LatticeSurface(NamedTuple):
    """Triangles whose outer side sees their corners counter-clockwise.

    `corners` is (N, 3), int32, in half voxels from an origin that its owner knows; `triangles` is (M, 3), uint32, rows
    of `corners`.
    """

    corners: Corners
    triangles: Triangles

    def shifted(self, offset: Sequence[int]) -> LatticeSurface:
        """The same surface from another origin: `offset` half voxels are added."""
        return LatticeSurface(self.corners + np.asarray(offset, np.int32), self.triangles)

    def compact(self) -> LatticeSurface:
        """Without corners that no triangle has; the others keep their order."""
        used = np.zeros(len(self.corners), np.bool_)
        used[self.triangles] = True
        numbers = np.cumsum(used, dtype=np.int64) - 1
        return LatticeSurface(self.corners[used], numbers[self.triangles].astype(np.uint32))

    def open_edges(self) -> int:
        """How many edges have a triangle on one side only: 0 where the surface is watertight."""
        first = self.triangles.astype(np.int64)
        second = first[:, [1, 2, 0]]
        edges = np.minimum(first, second) << 32 | np.maximum(first, second)
        _, number = np.unique(edges.ravel(), return_inverse=True)
        sides = np.bincount(number, weights=np.where(first < second, 1, -1).ravel())
        return int(np.abs(sides).sum())

    def volume(self, half_voxel_nm: Sequence[float]) -> float:
        """What a closed surface encloses, nm^3; a half voxel is so many nm along x, y, z."""
        if len(self.triangles) == 0:
            return 0.0
        points = (self.corners - self.corners[:1]) * np.asarray(half_voxel_nm, np.float64)
        a, b, c = (points[self.triangles[:, i]] for i in range(3))
        return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def joined(surfaces: Sequence[LatticeSurface]) -> LatticeSurface:
    """Several surfaces of one origin as one: corners at the same place become one corner."""
    if len(surfaces) == 1:
        return surfaces[0]
    corners = np.concatenate([surface.corners for surface in surfaces]).astype(np.int64)
    if corners.size == 0:
        return LatticeSurface(corners.astype(np.int32), np.zeros((0, 3), np.uint32))
    lowest = corners.min(axis=0)
    x, y, z = (corners - lowest).T
    _, first, number = np.unique(x | y << _BITS | z << (2 * _BITS), return_index=True, return_inverse=True)
    starts = np.cumsum([0, *(len(surface.corners) for surface in surfaces)])
    triangles = [number[s.triangles.astype(np.int64) + start] for s, start in zip(surfaces, starts, strict=False)]
    return LatticeSurface(corners[first].astype(np.int32), np.concatenate(triangles).astype(np.uint32))
