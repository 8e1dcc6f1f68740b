"""Connected components of a graph that is too large for memory: its edges come in pieces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import compiled
from abiss_py.kernels.union_find import find, union


@compiled
def count_ends(a: NDArray[np.uint32], b: NDArray[np.uint32], ends: NDArray[np.int64]) -> None:
    """Add to every node the number of edges that end there."""
    for i in range(a.size):
        ends[a[i]] += 1
        ends[b[i]] += 1


@compiled
def unite_within(
    a: NDArray[np.uint32],
    b: NDArray[np.uint32],
    most: int,
    parent: NDArray[np.uint32],
    ends: NDArray[np.int64],
) -> bool:
    """Join the ends of all edges; False as soon as a component has more than `most` edge ends.

    `ends` is kept at the roots of `parent`.
    """
    for i in range(a.size):
        left, right = find(parent, a[i]), find(parent, b[i])
        if left != right:
            total = ends[left] + ends[right]
            root = union(parent, left, right)
            ends[root] = total
            if total > most:
                return False
    return True


@compiled
def count_inner(
    a: NDArray[np.uint32], b: NDArray[np.uint32], root: NDArray[np.uint32], inner: NDArray[np.int64]
) -> None:
    """Add to every component's root the number of edges between its own nodes."""
    for i in range(a.size):
        if root[a[i]] == root[b[i]]:
            inner[root[a[i]]] += 1
