"""Basins of one chunk: steepest edges, connected components, and the strongest edges between basins.

An edge's key is `weight << 32 | (2^32 - 1 - local edge index)`, so that the larger key is the edge
that comes first in the total order. A local edge index is 3 * local voxel + channel.
The experiments behind these loops are in docs/performance.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import compiled
from abiss_py.kernels.union_find import union

#: Bit of a voxel in the map of joins: it has no edge above `low` and belongs to no basin.
BACKGROUND = 0x80
#: Direction codes: 0, 1, 2 towards lower x, y, z; 3, 4, 5 towards upper x, y, z; 6 for none.
NO_DIRECTION = 6
#: Largest local edge index that a key can hold.
INDEX_MASK = 0xFFFFFFFF


@compiled
def _row_directions(
    x_edges: NDArray[Any],
    y_low: NDArray[Any],
    z_low: NDArray[Any],
    y_high: NDArray[Any],
    z_high: NDArray[Any],
    low: Any,
    out: NDArray[np.uint8],
) -> None:
    """The direction of every voxel's steepest edge, for one row.

    The six edges are looked at in the order of their indices, so that `>` alone breaks ties.
    `x_edges` has one entry more than the row.
    """
    for x in range(out.size):
        best = x_edges[x]
        code = np.uint8(0)
        code = np.uint8(1) if y_low[x] > best else code
        best = max(y_low[x], best)
        code = np.uint8(2) if z_low[x] > best else code
        best = max(z_low[x], best)
        code = np.uint8(3) if x_edges[x + 1] > best else code
        best = max(x_edges[x + 1], best)
        code = np.uint8(4) if y_high[x] > best else code
        best = max(y_high[x], best)
        code = np.uint8(5) if z_high[x] > best else code
        best = max(z_high[x], best)
        out[x] = code if best > low else np.uint8(6)


@compiled
def _row_joins(
    x_edges: NDArray[Any],
    y_low: NDArray[Any],
    z_low: NDArray[Any],
    high: Any,
    row: NDArray[np.uint8],
    row_y: NDArray[np.uint8],
    row_z: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> None:
    """Which of its lower neighbours each voxel of a row is joined to, as bits 0, 1, 2.

    `row`, `row_y`, `row_z` are the directions of this row, of the one before it in y, and in z, each
    with one entry before its first voxel.
    """
    for x in range(out.size):
        code = row[x + 1]
        along_x = (code == 0) | (row[x] == 3) | (x_edges[x] >= high)
        along_y = (code == 1) | (row_y[x + 1] == 4) | (y_low[x] >= high)
        along_z = (code == 2) | (row_z[x + 1] == 5) | (z_low[x] >= high)
        bits = np.uint8(along_x) | (np.uint8(along_y) << np.uint8(1)) | (np.uint8(along_z) << np.uint8(2))
        out[x] = np.uint8(0x80) if code == 6 else bits


@compiled
def joins(
    w: NDArray[Any],
    sizes: NDArray[np.int64],
    strides: NDArray[np.int64],
    ends: NDArray[np.bool_],
    low: Any,
    high: Any,
    out: NDArray[np.uint8],
    up_x: NDArray[np.uint8],
    up_y: NDArray[np.uint8],
    up_z: NDArray[np.uint8],
) -> None:
    """Every voxel's joins to its lower neighbours, and which voxels of upper faces join beyond.

    `out[voxel]` has bits 0, 1, 2 for x, y, z, or is `BACKGROUND`. `up_*` are 1 where the steepest
    edge leaves the chunk upwards. `ends` says for low x, y, z and high x, y, z that the volume, not
    only the chunk, ends there.
    """
    nx, ny, nz = sizes[0], sizes[1], sizes[2]
    sx, sxy, sxyz = strides[0], strides[1], strides[2]
    nothing = np.zeros(nx, w.dtype)
    x_edges = np.zeros(nx + 1, w.dtype)
    outside = np.full(nx + 1, NO_DIRECTION, np.uint8)
    codes = np.full((2, ny, nx + 1), NO_DIRECTION, np.uint8)
    for z in range(nz):
        for y in range(ny):
            row = y * sx + z * sxy
            x_edges[:nx] = w[row : row + nx]
            if ends[0]:
                x_edges[0] = 0
            x_edges[nx] = 0 if ends[3] else w[row + nx]
            at_y, at_z = sxyz + row, 2 * sxyz + row
            y_low = nothing if y == 0 and ends[1] else w[at_y : at_y + nx]
            z_low = nothing if z == 0 and ends[2] else w[at_z : at_z + nx]
            y_high = nothing if y == ny - 1 and ends[4] else w[at_y + sx : at_y + sx + nx]
            z_high = nothing if z == nz - 1 and ends[5] else w[at_z + sxy : at_z + sxy + nx]
            here = codes[z & 1, y]
            _row_directions(x_edges, y_low, z_low, y_high, z_high, low, here[1:])
            before_y = outside if y == 0 else codes[z & 1, y - 1]
            before_z = outside if z == 0 else codes[(z + 1) & 1, y]
            at = (y + z * ny) * nx
            _row_joins(x_edges, y_low, z_low, high, here, before_y, before_z, out[at : at + nx])
            up_x[y + z * ny] = here[nx] == 3
            if y == ny - 1:
                up_y[z * nx : z * nx + nx] = here[1:] == 4
            if z == nz - 1:
                up_z[y * nx : y * nx + nx] = here[1:] == 5


@compiled
def components(joined: NDArray[np.uint8], sizes: NDArray[np.int64], labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Provisional labels of the basins by one scan; returns the union-find of the labels.

    A set's smallest label is the one its first voxel got. Label 0 is background.
    """
    nx, ny, nz = sizes[0], sizes[1], sizes[2]
    parent = np.empty(nx * ny * nz + 1, np.uint32)
    parent[0] = 0
    count = np.uint32(0)
    at = 0
    for z in range(nz):
        inside_z = np.uint8(4) if z > 0 else np.uint8(0)
        for y in range(ny):
            inside = inside_z | (np.uint8(2) if y > 0 else np.uint8(0))
            label = np.uint32(0)
            for x in range(nx):
                bits = joined[at]
                if bits == BACKGROUND:
                    labels[at] = 0
                    at += 1
                    continue
                fresh = True
                if x > 0 and bits & 1:
                    fresh = False
                else:
                    label = np.uint32(0)
                bits &= inside
                if bits & 2:
                    other = labels[at - nx]
                    if fresh:
                        label = other
                        fresh = False
                    elif other != label:
                        label = union(parent, label, other)
                if bits & 4:
                    other = labels[at - nx * ny]
                    if fresh:
                        label = other
                        fresh = False
                    elif other != label:
                        label = union(parent, label, other)
                if fresh:
                    count += np.uint32(1)
                    parent[count] = count
                    label = count
                labels[at] = label
                at += 1
    return parent[: count + 1]


@compiled
def flatten(parent: NDArray[np.uint32]) -> int:
    """Turn a union-find into final labels 1, 2, ... in the order of first voxels; returns how many."""
    count = np.uint32(0)
    for label in range(1, parent.size):
        if parent[label] == label:
            count += np.uint32(1)
            parent[label] = count
        else:
            parent[label] = parent[parent[label]]
    return int(count)


@compiled
def borders(labels: NDArray[np.uint32], at: int, before: int, skip: int, size: int, found: NDArray[np.int64]) -> int:
    """Where a row of labels differs from the row that begins at `before`, background left out.

    Positions go to the front of `found`; returns how many. Written without a branch: labels differ
    at a third of the voxels, in no pattern that a processor could guess.
    """
    count = 0
    for x in range(skip, size):
        here, there = labels[at + x], labels[before + x]
        found[count] = x
        count += (here != there) & (here != 0) & (there != 0)
    return count


@compiled
def best_edges(
    w: NDArray[Any],
    sizes: NDArray[np.int64],
    strides: NDArray[np.int64],
    low: Any,
    final: NDArray[np.uint32],
    labels: NDArray[np.uint32],
    voxels: NDArray[np.int64],
    first: NDArray[np.int64],
    best: NDArray[np.uint64],
) -> None:
    """Give every voxel its final label; count voxels, note first voxels and each basin's best edge."""
    nx, ny, nz = sizes[0], sizes[1], sizes[2]
    sx, sxy, sxyz = strides[0], strides[1], strides[2]
    found = np.empty(nx + 1, np.int64)
    known = np.uint32(0)
    for z in range(nz):
        for y in range(ny):
            at = (y + z * ny) * nx
            for x in range(nx):
                here = final[labels[at + x]]
                labels[at + x] = here
                voxels[here] += 1
                if here > known:
                    known = here
                    first[here] = at + x
            for c in range(3):
                if (c == 1 and y == 0) or (c == 2 and z == 0):
                    continue
                step = 1 if c == 0 else (nx if c == 1 else nx * ny)
                row = c * sxyz + y * sx + z * sxy
                for i in range(borders(labels, at, at - step, 1 if c == 0 else 0, nx, found)):
                    x = found[i]
                    weight = w[row + x]
                    if weight <= low:
                        continue
                    key = (np.uint64(weight) << np.uint64(32)) | np.uint64(INDEX_MASK - (3 * (at + x) + c))
                    here, there = labels[at + x], labels[at + x - step]
                    best[here] = max(best[here], key)
                    best[there] = max(best[there], key)
    voxels[0] = 0
