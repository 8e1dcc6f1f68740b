"""Which edges between a chunk's basins can matter to the size rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from abiss_py.grid import Grid
from abiss_py.kernels import leaving, spanning_forest
from abiss_py.kernels.watershed import INDEX_MASK

Int64s = NDArray[np.int64]
Keys = NDArray[np.uint64]


@dataclass(frozen=True)
class Basins:
    """Basins 1, 2, ... of a chunk: label volume (flat), sizes, first voxels, keys of the best edges.

    A key is `weight << 32 | (2^32 - 1 - local edge index)`; 0 stands for no edge.
    """

    labels: NDArray[np.uint32]
    voxels: Int64s
    first: Int64s
    best: Keys


@dataclass(frozen=True)
class Forest:
    """Edges in order, strongest first: keys, and the basins at both ends."""

    keys: Keys
    a: NDArray[np.uint32]
    b: NDArray[np.uint32]

    @classmethod
    def of(cls, best: Keys, grid: Grid, labels: NDArray[np.uint32]) -> Forest:
        """The edges that are the best of a basin or of two; 0 is none."""
        keys = np.sort(best[best > 0])[::-1]
        fresh = np.ones(keys.size, np.bool_)
        np.not_equal(keys[1:], keys[:-1], out=fresh[1:])
        keys = keys[fresh]
        a, b = np.empty(keys.size, np.uint32), np.empty(keys.size, np.uint32)
        nx, ny, _ = grid.place.shape
        spanning_forest.edge_ends(keys, labels, nx, nx * ny, a, b)
        return cls(keys, a, b)

    def merged(self, wanted: NDArray[np.bool_], other: Forest) -> Forest:
        """These edges where one of their basins is wanted, and all others, in order."""
        return Forest(*spanning_forest.merged(self.keys, self.a, self.b, wanted, other.keys, other.a, other.b))


def edges_that_matter(grid: Grid, basins: Basins, size: int) -> Forest:
    """A part of the maximum spanning forest: an edge that is not in it joins nothing, in any chunking."""
    is_large = basins.voxels >= size
    forest = recent = Forest.of(np.where(is_large, np.uint64(0), basins.best), grid, basins.labels)
    added: list[Forest] = []
    weakest = (np.uint64(grid.low) << np.uint64(32)) | np.uint64(INDEX_MASK)
    parent, voxels = np.arange(is_large.size, dtype=np.uint32), basins.voxels.copy()
    limit = np.where(is_large, spanning_forest.STRONGEST, weakest)
    reopened = np.empty(is_large.size, np.bool_)
    spanning_forest.join_small(recent.keys, recent.a, recent.b, size, parent, voxels, limit)

    waiting = int(basins.voxels[limit < basins.best].sum())
    # One entry more than can be kept: a place is written before it is known whether it counts.
    places, keys = np.empty(waiting + 1, np.uint32), np.empty(waiting + 1, np.uint64)
    best = np.zeros(is_large.size, np.uint64)
    volume = (grid.w, grid.sizes, grid.strides)
    left = 0
    if waiting:
        left = leaving.strongest_leaving(*volume, grid.low, basins.labels, parent, False, limit, best, places, keys)
    while left:
        fresh = Forest.of(best, grid, basins.labels)
        added.append(fresh)
        spanning_forest.reopen(best, basins.voxels, size, weakest, parent, voxels, limit, reopened)
        recent = recent.merged(reopened, fresh)
        spanning_forest.join_small(recent.keys, recent.a, recent.b, size, parent, voxels, limit)
        best[:] = 0
        places, keys = places[:left], keys[:left]
        left = spanning_forest.narrow(*volume, basins.labels, parent, limit, best, places, keys)
    reopened[:] = True
    for fresh in added:
        forest = forest.merged(reopened, fresh)
    return forest
