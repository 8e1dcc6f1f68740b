"""Which edges between a chunk's basins can matter to the size rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from abiss_py.grid import Grid
from abiss_py.kernels import boruvka, spanning_forest

Int64s = NDArray[np.int64]
Keys = NDArray[np.uint64]


@dataclass(frozen=True)
class Basins:
    """Basins 1, 2, ... of a chunk: label volume (flat), sizes, first voxels, keys of best edges.

    A key is `weight << 32 | (2^32 - 1 - local edge index)`; 0 stands for no edge.
    Only basins of fewer voxels than the size rule asks for have one.
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

    def at(self, wanted: NDArray[np.bool_]) -> Forest:
        """The edges that have a wanted basin at an end."""
        keys, a, b = self.keys.copy(), self.a.copy(), self.b.copy()
        count = spanning_forest.at_wanted(keys, a, b, wanted)
        return Forest(keys[:count], a[:count], b[:count])

    def merged(self, few: Forest) -> Forest:
        """These edges and those of a shorter list, in order."""
        count = self.keys.size + few.keys.size
        out = np.empty(count, np.uint64), np.empty(count, np.uint32), np.empty(count, np.uint32)
        spanning_forest.merge(self.keys, self.a, self.b, few.keys, few.a, few.b, *out)
        return Forest(*out)


def edges_that_matter(grid: Grid, basins: Basins, size: int) -> Forest:
    """A part of the maximum spanning forest: an edge that is not in it joins nothing, in any chunking."""
    forest = Forest.of(basins.best, grid, basins.labels)
    return forest.merged(_added(grid, basins, size, forest))


def _added(grid: Grid, basins: Basins, size: int, forest: Forest) -> Forest:
    """What the best edges of the small basins lack: found in rounds (docs/algorithm.md)."""
    parent, voxels = np.arange(basins.voxels.size, dtype=np.uint32), basins.voxels.copy()
    limit = np.where(voxels >= size, spanning_forest.STRONGEST, grid.weakest)
    spanning_forest.join_small(forest.keys, forest.a, forest.b, size, parent, voxels, limit)

    waiting = int(basins.voxels[limit < basins.best].sum())
    # One entry more than can be kept: a place is written before it is known whether it counts.
    places, keys = np.empty(waiting + 1, np.uint32), np.empty(waiting + 1, np.uint64)
    best, reopened = np.zeros(parent.size, np.uint64), np.empty(parent.size, np.bool_)
    added, recent, left = Forest.of(best, grid, basins.labels), forest, 0
    volume = (grid.w, grid.sizes, grid.strides)
    if waiting:
        sets = (grid.low, basins.labels, parent)
        left = boruvka.strongest_leaving(*volume, *sets, False, limit, best, places, keys)
    while left:
        fresh = Forest.of(best, grid, basins.labels)
        added = fresh.merged(added)
        spanning_forest.reopen(best, basins.voxels, size, grid.weakest, parent, voxels, limit, reopened)
        recent = recent.at(reopened).merged(fresh)
        spanning_forest.join_small(recent.keys, recent.a, recent.b, size, parent, voxels, limit)
        best[:] = 0
        left = spanning_forest.narrow(*volume, basins.labels, parent, limit, best, places[:left], keys[:left])
    return added
