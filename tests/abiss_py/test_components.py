"""Laws of the components of graphs that come in pieces."""

from __future__ import annotations

import networkx as nx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from abiss_py.components import Pairs, components_within, edge_ends, inner_edges, packed

NODES = 12
edges = st.lists(st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1)), max_size=12)


def as_piece(pairs: list[tuple[int, int]]) -> Pairs:
    array = np.array(pairs, np.uint32).reshape(-1, 2)
    return array[:, 0].copy(), array[:, 1].copy()


@given(st.lists(edges, min_size=1, max_size=5), st.integers(1, 30))
def test_components_hold_the_levels_taken_and_stay_small(levels: list[list[tuple[int, int]]], most: int) -> None:
    """No edge of the levels taken is between two components, none has more edges inside than asked for, and
    where all levels were taken, they are the graph's components."""
    pieces = [as_piece(level) for level in levels]
    ends = edge_ends(NODES, pieces)
    taken, root = components_within(most, ends, [[piece] for piece in pieces])
    for a, b in pieces[:taken]:
        np.testing.assert_array_equal(root[a], root[b])
    inner = inner_edges(root, pieces)
    joined = {int(r) for r in root if np.count_nonzero(root == r) > 1}  # one node's own loops cannot be parted
    assert all(inner[r] <= most for r in joined)
    if taken == len(levels):
        graph = nx.Graph([edge for level in levels for edge in level])
        graph.add_nodes_from(range(NODES))
        assert {frozenset(part) for part in nx.connected_components(graph)} == {
            frozenset(np.flatnonzero(root == r).tolist()) for r in root
        }


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.integers(1, 12), st.none() | st.integers(1, 4))
def test_bins_hold_what_fits(inner: list[int], most: int, most_bins: int | None) -> None:
    """A bin holds no more than asked for, or one component; all have one unless bins are few."""
    sizes = np.array(inner)
    bins, number, all_placed = packed(sizes, most, most_bins)
    for bin_ in range(1, number + 1):
        members = sizes[bins == bin_]
        assert members.sum() <= most or members.size == 1
    assert number <= (most_bins or sizes.size)
    assert all_placed == bool(np.all(bins[sizes > 0] > 0))
    assert most_bins is not None or all_placed
    assert not np.any(bins[sizes == 0])
