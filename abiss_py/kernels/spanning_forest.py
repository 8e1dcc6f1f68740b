"""Which edges between basins can matter: a maximum spanning forest, by Boruvka's rounds.

Joining basins in the order of their edges only ever uses edges of the maximum spanning forest: any
other edge closes a cycle of stronger ones, so when its turn comes its two ends are one cluster
already, or a stronger edge on the way was refused because both sides were large, and then both of
its ends lie in large clusters too.

An edge is dropped as soon as it is certain to be refused, which is most of them: when both of its
components have at least `size` voxels and are held together by stronger edges alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import compiled
from abiss_py.kernels.union_find import find, union
from abiss_py.kernels.watershed import INDEX_MASK, borders

STRONGEST = np.uint64(0xFFFFFFFFFFFFFFFF)


@compiled
def edge_ends(
    keys: NDArray[np.uint64],
    labels: NDArray[np.uint32],
    nx: int,
    nxy: int,
    a: NDArray[np.uint32],
    b: NDArray[np.uint32],
) -> None:
    """The labels on both sides of the voxel edges that keys name."""
    for i in range(keys.size):
        edge = INDEX_MASK - np.int64(keys[i] & np.uint64(INDEX_MASK))
        voxel, channel = edge // 3, edge % 3
        step = 1 if channel == 0 else (nx if channel == 1 else nxy)
        a[i] = labels[voxel]
        b[i] = labels[voxel - step]


@compiled
def limits(
    parent: NDArray[np.uint32], size: int, voxels: NDArray[np.int64], weakest: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """For each basin its component and the component's limit, a row each.

    An edge that is below the limits of both its components is certain to be refused.
    """
    rows = np.empty((parent.size, 2), np.uint64)
    for basin in range(parent.size):
        root = find(parent, np.uint32(basin))
        rows[basin, 0] = root
        rows[basin, 1] = weakest[root] if voxels[root] >= size else np.uint64(0)
    return rows


@compiled
def collect(
    w: NDArray[Any],
    sizes: NDArray[np.int64],
    strides: NDArray[np.int64],
    low: Any,
    labels: NDArray[np.uint32],
    components: NDArray[np.uint64],
) -> tuple[NDArray[np.uint64], NDArray[np.uint32], NDArray[np.uint32]]:
    """All voxel edges between components that may matter: keys, and the components at both ends.

    `components` is what `limits` gave.
    """
    nx, ny, nz = sizes[0], sizes[1], sizes[2]
    sx, sxy, sxyz = strides[0], strides[1], strides[2]
    keys = np.empty(nx * ny * nz // 8 + 3 * nx + 1, np.uint64)
    a = np.empty(keys.size, np.uint32)
    b = np.empty(keys.size, np.uint32)
    found = np.empty(nx + 1, np.int64)
    count = 0
    for z in range(nz):
        for y in range(ny):
            at = (y + z * ny) * nx
            if count + 3 * nx >= keys.size:
                keys = np.concatenate((keys[:count], np.empty(keys.size, np.uint64)))
                a = np.concatenate((a[:count], np.empty(a.size, np.uint32)))
                b = np.concatenate((b[:count], np.empty(b.size, np.uint32)))
            for c in range(3):
                if (c == 1 and y == 0) or (c == 2 and z == 0):
                    continue
                step = 1 if c == 0 else (nx if c == 1 else nx * ny)
                row = c * sxyz + y * sx + z * sxy
                for i in range(borders(labels, at, at - step, 1 if c == 0 else 0, nx, found)):
                    x = found[i]
                    here, there = labels[at + x], labels[at + x - step]
                    weight = w[row + x]
                    key = (np.uint64(weight) << np.uint64(32)) | np.uint64(INDEX_MASK - (3 * (at + x) + c))
                    keys[count] = key
                    a[count] = components[here, 0]
                    b[count] = components[there, 0]
                    limit = min(components[here, 1], components[there, 1])
                    count += (weight > low) & (components[here, 0] != components[there, 0]) & (key > limit)
    return keys[:count], a[:count], b[:count]


@compiled
def best_of_list(
    keys: NDArray[np.uint64],
    a: NDArray[np.uint32],
    b: NDArray[np.uint32],
    best: NDArray[np.uint64],
) -> None:
    """Each component's best edge in a list of edges."""
    for i in range(keys.size):
        if keys[i] > best[a[i]]:
            best[a[i]] = keys[i]
        if keys[i] > best[b[i]]:
            best[b[i]] = keys[i]


@compiled
def contract(
    keys: NDArray[np.uint64],
    a: NDArray[np.uint32],
    b: NDArray[np.uint32],
    best: NDArray[np.uint64],
    parent: NDArray[np.uint32],
    voxels: NDArray[np.int64],
    weakest: NDArray[np.uint64],
    forest: NDArray[np.uint64],
    count: int,
) -> int:
    """Join components along those edges that are the best of one of their ends, and note them.

    Returns how many edges `forest` has now. `voxels` and `weakest` (the key of the component's weakest
    edge) are kept at the roots. An edge may come twice.
    """
    for i in range(keys.size):
        if keys[i] != best[a[i]] and keys[i] != best[b[i]]:
            continue
        left, right = find(parent, a[i]), find(parent, b[i])
        if left == right:
            continue
        root = union(parent, left, right)
        voxels[root] = voxels[left] + voxels[right]
        weakest[root] = min(keys[i], weakest[left], weakest[right])
        forest[count] = keys[i]
        count += 1
    return count


@compiled
def keep_open_edges(
    keys: NDArray[np.uint64],
    a: NDArray[np.uint32],
    b: NDArray[np.uint32],
    components: NDArray[np.uint64],
    best: NDArray[np.uint64],
) -> int:
    """Move the edges that still may matter to the front, with their components; returns how many.

    Clears `best` of every component that is met.
    """
    count = 0
    for i in range(keys.size):
        left, right = np.uint32(components[a[i], 0]), np.uint32(components[b[i], 0])
        limit = min(components[a[i], 1], components[b[i], 1])
        keys[count], a[count], b[count] = keys[i], left, right
        best[left] = 0
        best[right] = 0
        count += (left != right) & (keys[i] > limit)
    return count
