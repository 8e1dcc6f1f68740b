"""The size rule: small basins are absorbed along the edges, strongest first.

One pass over the edges decides all that a box can decide for itself (docs/algorithm.md has the proof):

* both sides large: refused, for good, since clusters only grow;
* neither side open: each is the other's best, so what happens now is final;
* one side open: a small closed cluster goes to a large open one, whatever that grows to. In every
  other case the closed cluster has to wait, and is open from here on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import compiled
from abiss_py.kernels.union_find import find, union


@compiled
def absorb(
    a: NDArray[np.uint32],
    b: NDArray[np.uint32],
    size: int,
    parent: NDArray[np.uint32],
    voxels: NDArray[np.int64],
    is_open: NDArray[np.bool_],
    undecided: NDArray[np.bool_],
) -> None:
    """Join clusters along edges that come in order; mark the edges that must wait as undecided.

    `voxels` and `is_open` are kept at the roots of `parent`.
    """
    for i in range(a.size):
        left, right = find(parent, a[i]), find(parent, b[i])
        if left == right:
            continue
        small_left, small_right = voxels[left] < size, voxels[right] < size
        if not small_left and not small_right:
            continue
        open_left, open_right = is_open[left], is_open[right]
        if open_left or open_right:
            absorbed = (not open_left and small_left and not small_right) or (
                not open_right and small_right and not small_left
            )
            if not absorbed:
                is_open[left] = True
                is_open[right] = True
                undecided[i] = True
                continue
        root = union(parent, left, right)
        voxels[root] = voxels[left] + voxels[right]
        is_open[root] = open_left or open_right


@compiled
def number_clusters(
    parent: NDArray[np.uint32],
    voxels: NDArray[np.int64],
    is_open: NDArray[np.bool_],
    dust: int,
    number: NDArray[np.uint32],
    tops: NDArray[np.uint32],
) -> int:
    """Number the clusters that are open or not dust from 1, by their first members; returns how many there are.

    `number[member]` becomes that of its cluster, 0 for dust and for member 0, the background; `tops` the roots.
    """
    count = 0
    number[0] = 0
    for member in range(1, parent.size):
        above = parent[member]
        if above != member:
            number[member] = number[above]  # a smaller one, so it has its number
        elif is_open[member] or voxels[member] >= dust:
            tops[count] = member
            count += 1
            number[member] = count
        else:
            number[member] = 0
    return count


@compiled
def unite(a: NDArray[np.uint32], b: NDArray[np.uint32], parent: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Join the ends of all edges, given in order; True for those that joined two sets.

    These are the edges of the maximum spanning forest.
    """
    used = np.zeros(a.size, np.bool_)
    for i in range(a.size):
        left, right = find(parent, a[i]), find(parent, b[i])
        if left != right:
            union(parent, left, right)
            used[i] = True
    return used
