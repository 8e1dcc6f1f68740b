"""The strongest edge that leaves each set of voxels: what every round of the spanning forest asks.

One pass over the volume answers it for all sets at once. Rows are looked at without a branch, as for
the steepest edges, with the edges inside a set counting as 0; only the voxels whose edge may be
above their set's limit are looked at one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import compiled
from abiss_py.kernels.watershed import INDEX_MASK


@compiled
def _row_leaving(
    own: NDArray[np.uint32],
    y_before: NDArray[np.uint32],
    y_after: NDArray[np.uint32],
    z_before: NDArray[np.uint32],
    z_after: NDArray[np.uint32],
    x_edges: NDArray[Any],
    y_low: NDArray[Any],
    z_low: NDArray[Any],
    y_high: NDArray[Any],
    z_high: NDArray[Any],
    nothing: Any,
    codes: NDArray[np.uint8],
    weights: NDArray[Any],
) -> None:
    """The direction and the weight of every voxel's strongest edge to another set, for one row.

    Rows of sets have an entry more at both ends, `x_edges` one at its end. Ties as for the steepest
    edges: the six are looked at in the order of their indices.
    """
    for x in range(codes.size):
        at = own[x + 1]
        # Weights are read before anything is asked, or the loop would not be vectorised.
        edges = (x_edges[x], y_low[x], z_low[x], x_edges[x + 1], y_high[x], z_high[x])
        best = edges[0] if own[x] != at else nothing
        code = np.uint8(0)
        edge = edges[1] if y_before[x + 1] != at else nothing
        code = np.uint8(1) if edge > best else code
        best = max(edge, best)
        edge = edges[2] if z_before[x + 1] != at else nothing
        code = np.uint8(2) if edge > best else code
        best = max(edge, best)
        edge = edges[3] if own[x + 2] != at else nothing
        code = np.uint8(3) if edge > best else code
        best = max(edge, best)
        edge = edges[4] if y_after[x + 1] != at else nothing
        code = np.uint8(4) if edge > best else code
        best = max(edge, best)
        edge = edges[5] if z_after[x + 1] != at else nothing
        code = np.uint8(5) if edge > best else code
        best = max(edge, best)
        codes[x] = code
        weights[x] = best


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

    A voxel's set is `names[labels[voxel]]`; `rename` makes that its label. A limit is at least the
    largest key that never joins. The voxels with such an edge, and its key, are listed in `voxels`
    and `keys` unless these are empty (they need room for one more); returns how many.
    """
    nx, ny, nz = sizes[0], sizes[1], sizes[2]
    sx, sxy, sxyz = strides[0], strides[1], strides[2]
    sets = np.empty((3, ny, nx + 2), np.uint32)
    codes, weights = np.empty(nx, np.uint8), np.empty(nx, w.dtype)
    found = np.empty(nx + 1, np.int64)
    step = np.array([0, 1, 2, 3, 3 * nx + 1, 3 * nx * ny + 2])
    nothing = w.dtype.type(0)
    listed = np.uint64(0)
    for z in range(-1, nz):
        before, here, after = sets[(z + 2) % 3], sets[z % 3], sets[(z + 1) % 3]
        for y in range(ny if z + 1 < nz else 0):
            at = (y + (z + 1) * ny) * nx
            own = after[y]
            for x in range(nx):
                own[x + 1] = names[labels[at + x]]
            own[0], own[nx + 1] = own[1], own[nx]
            if rename:
                labels[at : at + nx] = own[1 : nx + 1]
        for y in range(ny if z >= 0 else 0):
            # Beyond the chunk's ends a row is compared with itself, and its edges count as 0.
            own = here[y]
            y_before, y_after = here[max(y - 1, 0)], here[min(y + 1, ny - 1)]
            z_before, z_after = own if z == 0 else before[y], own if z == nz - 1 else after[y]
            row = y * sx + z * sxy
            at_y, at_z = sxyz + row, 2 * sxyz + row
            to_y, to_z = at_y if y == ny - 1 else at_y + sx, at_z if z == nz - 1 else at_z + sxy
            low_rows = w[row : row + nx + 1], w[at_y : at_y + nx], w[at_z : at_z + nx]
            high_rows = w[to_y : to_y + nx], w[to_z : to_z + nx]
            _row_leaving(own, y_before, y_after, z_before, z_after, *low_rows, *high_rows, nothing, codes, weights)
            count = np.uint64(0)
            for x in range(nx):
                found[count] = x
                may = np.uint64(weights[x]) >= limit[own[x + 1]] >> np.uint64(32)
                count += np.uint64((weights[x] > low) & may)
            at = (y + z * ny) * nx
            for i in range(count):
                x = found[i]
                edge = 3 * (at + x) + step[codes[x]]
                key = (np.uint64(weights[x]) << np.uint64(32)) | np.uint64(INDEX_MASK - edge)
                above = key > limit[own[x + 1]]
                best[own[x + 1]] = max(best[own[x + 1]], key if above else np.uint64(0))
                if keys.size > 0:
                    voxels[listed], keys[listed] = at + x, key
                    listed += np.uint64(above)
    return int(listed)
