"""Connected components of a graph that is too large for memory: its edges come in pieces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import compiled
from abiss_py.kernels.union_find import find, union


@compiled
def number_nodes(numbers: NDArray[np.uint32]) -> None:
    """Give every node its own number."""
    for node in range(numbers.size):
        numbers[node] = node


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
    """Join the ends of all edges; False at the first that would give a component more than `most` edge ends.

    `ends` is kept at the roots of `parent`.
    """
    for i in range(a.size):
        left, right = find(parent, a[i]), find(parent, b[i])
        if left != right:
            total = ends[left] + ends[right]
            if total > most:
                return False
            ends[union(parent, left, right)] = total
    return True


@compiled
def pack(inner: NDArray[np.int64], room: int, bins: NDArray[np.uint32], most_bins: int) -> tuple[int, bool]:
    """Put components that have edges inside into bins 1, 2, ... of at most `room`, each into the last one or a new one.

    Returns how many bins there are, and whether all found room in `most_bins`. A component that is larger than
    that has a bin to itself.
    """
    number, filled, all_placed = 1, 0, True
    for root in range(inner.size):
        if inner[root] == 0:
            continue
        if filled > 0 and filled + inner[root] > room:
            if number == most_bins:
                all_placed = False
                continue
            number, filled = number + 1, 0
        bins[root] = number
        filled += inner[root]
    return number, all_placed


@compiled
def count_inner(
    a: NDArray[np.uint32], b: NDArray[np.uint32], root: NDArray[np.uint32], inner: NDArray[np.int64]
) -> None:
    """Add to every component's root the number of edges between its own nodes."""
    for i in range(a.size):
        if root[a[i]] == root[b[i]]:
            inner[root[a[i]]] += 1
