"""The strongest edge that leaves each set of voxels: what every round of the spanning forest asks.

One pass over the volume answers it for all sets at once, row by row and without a branch: the edges
inside a set count as 0, and then every voxel's strongest edge is found as its steepest one is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import compiled
from abiss_py.kernels.watershed import INDEX_MASK, steepest


@compiled
def _between(here: NDArray[np.uint32], there: NDArray[np.uint32], w: NDArray[Any], out: NDArray[Any]) -> None:
    """The weights of the edges between two rows of voxels, 0 where both are of one set."""
    nothing = w.dtype.type(0)
    for x in range(out.size):
        out[x] = w[x] if here[x] != there[x] else nothing


@compiled
def strongest_leaving(
    w: NDArray[Any],
    sizes: NDArray[np.int64],
    strides: NDArray[np.int64],
    low: Any,
    labels: NDArray[np.uint32],
    names: NDArray[np.uint32],
    rename: bool,
    limit: NDArray[np.uint64],
    best: NDArray[np.uint64],
    voxels: NDArray[np.uint32],
    keys: NDArray[np.uint64],
) -> int:
    """Each set's strongest edge to another set, where its key is above the set's limit, into `best`.

    A voxel's set is `names[labels[voxel]]`; `rename` makes that its label. Background voxels have no
    edge above `low`. The voxels with such an edge, and its key, are listed in `voxels` and `keys`
    unless these are empty (they need room for one more); returns how many.
    """
    nx, ny, nz = sizes[0], sizes[1], sizes[2]
    sx, sxy, sxyz = strides[0], strides[1], strides[2]
    sets = np.empty((2, ny, nx), np.uint32)
    x_edges = np.zeros(nx + 1, w.dtype)
    y_edges = np.zeros((ny + 1, nx), w.dtype)
    z_edges = np.zeros((2, ny, nx), w.dtype)
    codes, weights = np.empty(nx, np.uint8), np.empty(nx, w.dtype)
    found = np.empty(nx + 1, np.int64)
    step = np.array([0, 1, 2, 3, 3 * nx + 1, 3 * nx * ny + 2])
    listed = np.uint64(0)
    for z in range(-1, nz):
        here, above = sets[z & 1], sets[(z + 1) & 1]
        z_low, z_high = z_edges[z & 1], z_edges[(z + 1) & 1]
        for y in range(ny if z + 1 < nz else 0):
            at = (y + (z + 1) * ny) * nx
            for x in range(nx):
                above[y, x] = names[labels[at + x]]
            if rename:
                labels[at : at + nx] = above[y]
            if z >= 0:
                row = 2 * sxyz + y * sx + (z + 1) * sxy
                _between(above[y], here[y], w[row : row + nx], z_high[y])
        if z < 0:
            continue
        if z + 1 == nz:
            z_high[:] = 0
        for y in range(1, ny):
            row = sxyz + y * sx + z * sxy
            _between(here[y], here[y - 1], w[row : row + nx], y_edges[y])
        for y in range(ny):
            row = y * sx + z * sxy
            _between(here[y, 1:], here[y, : nx - 1], w[row + 1 : row + nx], x_edges[1:nx])
            steepest(x_edges, y_edges[y], z_low[y], y_edges[y + 1], z_high[y], low, codes, weights)
            count = np.uint64(0)
            for x in range(nx):
                found[count] = x
                count += np.uint64(weights[x] > low)
            at = (y + z * ny) * nx
            for i in range(count):
                x = found[i]
                own = here[y, x]
                edge = 3 * (at + x) + step[codes[x]]
                key = (np.uint64(weights[x]) << np.uint64(32)) | np.uint64(INDEX_MASK - edge)
                above_limit = key > limit[own]
                best[own] = max(best[own], key if above_limit else np.uint64(0))
                if keys.size > 0:
                    voxels[listed], keys[listed] = at + x, key
                    listed += np.uint64(above_limit)
    return int(listed)
