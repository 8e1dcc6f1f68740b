"""Components of a graph above a falling threshold, within a bound on their size.

The nodes are numbered 0 to n - 1; edges come in pieces, strongest level first, and are never in memory
together.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import components as kernels
from abiss_py.relabel import roots

Uint32s = NDArray[np.uint32]
#: A piece of edges: the node numbers of both ends.
Pairs = tuple[Uint32s, Uint32s]


def edge_ends(nodes: int, pieces: Iterable[Pairs]) -> NDArray[np.int64]:
    """How many edges end at each node."""
    ends = np.zeros(nodes, np.int64)
    for a, b in pieces:
        kernels.count_ends(a, b, ends)
    return ends


def components_within(most: int, ends: NDArray[np.int64], levels: Iterable[Iterable[Pairs]]) -> tuple[int, Uint32s]:
    """The components of as many levels as keep every component within `most` inner edges.

    `ends` are `edge_ends` of the whole graph: half of their sum is at least the number of a component's
    inner edges, those of weaker levels included. Returns how many levels were taken, from the first on,
    and every node's root.
    """
    parent = np.arange(ends.size, dtype=np.uint32)
    taken, ends = 0, ends.copy()
    for level in levels:
        kept = parent.copy()
        if not all(kernels.unite_within(a, b, 2 * most, parent, ends) for a, b in level):
            parent = kept
            break
        taken += 1
    return taken, roots(parent)


def inner_edges(root: Uint32s, pieces: Iterable[Pairs]) -> NDArray[np.int64]:
    """How many edges lie inside each component, at its root."""
    inner = np.zeros(root.size, np.int64)
    for a, b in pieces:
        kernels.count_inner(a, b, root, inner)
    return inner
