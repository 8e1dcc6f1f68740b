"""Components of a graph above a falling threshold, within a bound on their size.

The nodes are numbered 0 to n - 1; edges come in pieces, strongest level first, and are never in memory
together. Nor need be what there is for each node: `zeros` makes those arrays, and may put them on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import components as kernels
from abiss_py.kernels import union_find

Uint32s = NDArray[np.uint32]
#: A piece of edges: the node numbers of both ends.
Pairs = tuple[Uint32s, Uint32s]
#: What makes an array of zeros, by length and dtype.
Zeros = Callable[[int, Any], NDArray[Any]]


def own_numbers(nodes: int, zeros: Zeros = np.zeros) -> Uint32s:
    """Every node's own number."""
    numbers: Uint32s = zeros(nodes, np.uint32)
    kernels.number_nodes(numbers)
    return numbers


def edge_ends(nodes: int, pieces: Iterable[Pairs], zeros: Zeros = np.zeros) -> NDArray[np.int64]:
    """How many edges end at each node."""
    ends = zeros(nodes, np.int64)
    for a, b in pieces:
        kernels.count_ends(a, b, ends)
    return ends


def components_within(
    most: int, ends: NDArray[np.int64], levels: Iterable[Iterable[Pairs]], zeros: Zeros = np.zeros
) -> tuple[int, Uint32s]:
    """Components of as many levels as keep every component within `most` inner edges.

    `ends` are `edge_ends` of the whole graph, which are used up: half of their sum is at least the number of a
    component's inner edges, those of weaker levels included. Returns how many levels were taken, from the
    first on, and every node's root. No edge of these levels is between two components; some are already
    joined by edges of the next level, which spares a copy of all nodes to go back to.
    """
    parent = own_numbers(ends.size, zeros)
    taken = 0
    for level in levels:
        if not all(kernels.unite_within(a, b, 2 * most, parent, ends) for a, b in level):
            break
        taken += 1
    union_find.point_to_roots(parent)
    return taken, parent


def inner_edges(root: Uint32s, pieces: Iterable[Pairs], zeros: Zeros = np.zeros) -> NDArray[np.int64]:
    """How many edges lie inside each component, at its root."""
    inner = zeros(root.size, np.int64)
    for a, b in pieces:
        kernels.count_inner(a, b, root, inner)
    return inner


def packed(
    inner: NDArray[np.int64], most: int, most_bins: int | None, zeros: Zeros = np.zeros
) -> tuple[Uint32s, int, bool]:
    """The bin, from 1, of each component with edges inside, by its root; how many; whether all have one.

    `inner` are `inner_edges`. A bin holds at most `most`. Components come in the order of their roots, so that
    those of a bin lie near each other; each goes to the bin that is being filled or to a new one.
    """
    bin_of_root = zeros(inner.size, np.uint32)
    bins, all_placed = kernels.pack(inner, most, bin_of_root, inner.size if most_bins is None else most_bins)
    return bin_of_root, bins, all_placed
