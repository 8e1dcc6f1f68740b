"""Which edges between basins can matter to the size rule: a part of the maximum spanning forest.

An edge is certain to be refused when both of its ends are, by stronger edges alone, in clusters of
`size` voxels. Edges found so far, taken in order, therefore give each small cluster a *limit*: the
key of the edge by which it became large. Only an edge above the limit at one of its ends can matter
still, and of those only the strongest that leaves the cluster has to be found before all is done
again. docs/algorithm.md has the proof.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import compiled
from abiss_py.kernels.union_find import find, union
from abiss_py.kernels.watershed import INDEX_MASK

#: The limit of a cluster that is large from the start.
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
def join_small(
    keys: NDArray[np.uint64],
    a: NDArray[np.uint32],
    b: NDArray[np.uint32],
    size: int,
    parent: NDArray[np.uint32],
    voxels: NDArray[np.int64],
    limit: NDArray[np.uint64],
) -> None:
    """Join clusters along edges in order while they are small together; then note their limits.

    `voxels` and `limit` are kept at the roots; a cluster that has become large counts as `size` voxels.
    At the end `parent` has every basin's root, and `limit` is known for every basin.
    """
    for i in range(keys.size):
        # Never the same: edges of a forest close no cycle.
        left, right = find(parent, a[i]), find(parent, b[i])
        total = voxels[left] + voxels[right]
        if total < size:
            voxels[union(parent, left, right)] = total
            continue
        for end in (left, right):
            if voxels[end] < size:
                voxels[end] = size
                limit[end] = keys[i]
    for basin in range(parent.size):
        parent[basin] = parent[parent[basin]]
        limit[basin] = limit[parent[basin]]


@compiled
def reopen(
    best: NDArray[np.uint64],
    basin_voxels: NDArray[np.int64],
    size: int,
    weakest: np.uint64,
    parent: NDArray[np.uint32],
    voxels: NDArray[np.int64],
    limit: NDArray[np.uint64],
    reopened: NDArray[np.bool_],
) -> None:
    """Take those clusters apart again that another edge may leave, and let all others count as large.

    `best` has the edge, by the cluster's root, or 0. The others are final: no edge above their limit
    leaves them, so they are large when any edge of a neighbour's turn comes.
    """
    for basin in range(parent.size):
        reopened[basin] = best[parent[basin]] > 0
    for basin in range(parent.size):
        if reopened[basin]:
            parent[basin], limit[basin] = basin, weakest
            voxels[basin] = basin_voxels[basin]
        else:
            voxels[basin] = size


@compiled
def at_wanted(
    keys: NDArray[np.uint64],
    a: NDArray[np.uint32],
    b: NDArray[np.uint32],
    wanted: NDArray[np.bool_],
) -> int:
    """Move the edges that have a wanted basin at an end to the front; returns how many."""
    count = np.uint64(0)
    for i in range(keys.size):
        left, right = a[i], b[i]
        keys[count], a[count], b[count] = keys[i], left, right
        count += np.uint64(wanted[left] | wanted[right])
    return int(count)


@compiled
def merge(
    keys: NDArray[np.uint64],
    a: NDArray[np.uint32],
    b: NDArray[np.uint32],
    few_keys: NDArray[np.uint64],
    few_a: NDArray[np.uint32],
    few_b: NDArray[np.uint32],
    out_keys: NDArray[np.uint64],
    out_a: NDArray[np.uint32],
    out_b: NDArray[np.uint32],
) -> None:
    """Two lists of edges in order as one; the second is the shorter one."""
    i = 0
    for j in range(few_keys.size + 1):
        while i < keys.size and (j == few_keys.size or keys[i] > few_keys[j]):
            out_keys[i + j], out_a[i + j], out_b[i + j] = keys[i], a[i], b[i]
            i += 1
        if j < few_keys.size:
            out_keys[i + j], out_a[i + j], out_b[i + j] = few_keys[j], few_a[j], few_b[j]


@compiled
def _leaving_voxel(
    w: NDArray[Any],
    sizes: NDArray[np.int64],
    strides: NDArray[np.int64],
    labels: NDArray[np.uint32],
    parent: NDArray[np.uint32],
    voxel: Any,
) -> np.uint64:
    """The key of the strongest edge of one voxel that leaves its cluster, 0 for none."""
    nx, ny = sizes[0], sizes[1]
    sx, sxy, sxyz = strides[0], strides[1], strides[2]
    x, y, z = voxel % nx, voxel // nx % ny, voxel // (nx * ny)
    own = parent[labels[voxel]]
    best = np.uint64(0)
    for direction in range(6):
        axis = direction % 3
        position = x if axis == 0 else (y if axis == 1 else z)
        step = 1 if axis == 0 else (nx if axis == 1 else nx * ny)
        if direction < 3:
            if position == 0 or parent[labels[voxel - step]] == own:
                continue
            upper, at = voxel, x + y * sx + z * sxy
        else:
            if position == sizes[axis] - 1 or parent[labels[voxel + step]] == own:
                continue
            upper = voxel + step
            at = x + y * sx + z * sxy + (1 if axis == 0 else (sx if axis == 1 else sxy))
        key = (np.uint64(w[axis * sxyz + at]) << np.uint64(32)) | np.uint64(INDEX_MASK - (3 * upper + axis))
        best = max(best, key)
    return best


@compiled
def narrow(
    w: NDArray[Any],
    sizes: NDArray[np.int64],
    strides: NDArray[np.int64],
    labels: NDArray[np.uint32],
    parent: NDArray[np.uint32],
    limit: NDArray[np.uint64],
    best: NDArray[np.uint64],
    voxels: NDArray[np.uint32],
    keys: NDArray[np.uint64],
) -> int:
    """Keep the voxels of a list that still have an edge above the limit; `best` is as before.

    Limits only rise, and what left no cluster above its limit never will, so that most voxels are
    dropped by the key they were listed with. Returns how many are left.
    """
    count = 0
    for i in range(voxels.size):
        own = parent[labels[voxels[i]]]
        if keys[i] <= limit[own]:
            continue
        key = _leaving_voxel(w, sizes, strides, labels, parent, np.int64(voxels[i]))
        if key <= limit[own]:
            continue
        best[own] = max(best[own], key)
        voxels[count], keys[count] = voxels[i], key
        count += 1
    return count
