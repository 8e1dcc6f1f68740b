"""Edits on a region graph: what must hold whatever the graph and the edits are."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abiss_py import Contacts
from seuron.errors import DataError
from seuron.pipelines.segmentation.proofreading.edited_graph import Cut, EditedSegments, edited_segments

Edges = dict[tuple[int, int], int]


def contacts(edges: Edges) -> Contacts:
    rows = sorted(edges.items())
    a, b = (np.array([pair[side] for pair, _ in rows], np.int64) for side in (0, 1))
    numbers = np.arange(len(rows), dtype=np.int64)
    return Contacts(a, b, np.array([cost for _, cost in rows], np.int64), np.ones_like(numbers), numbers)


def components(nodes: set[int], edges: list[tuple[int, int]]) -> dict[int, int]:
    """The smallest member of each node's component."""
    graph = nx.Graph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(edges)
    return {node: min(part) for part in nx.connected_components(graph) for node in part}


def apply(edges: Edges, links: list[tuple[int, int]], cuts: list[Cut], nodes: set[int]) -> dict[int, int]:
    """The segments under edits, where all contacts lie inside segments."""
    before = components(nodes, list(edges))
    found = edited_segments(contacts(edges), before, links, cuts)
    ids = np.array(sorted(nodes), np.int64)
    names = np.where(np.isin(ids, found.names.keys), found.names.follow(ids), [before[int(i)] for i in ids])
    return dict(zip(ids.tolist(), names.tolist(), strict=True))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Edges, set[int]]:
    nodes = draw(st.sets(st.integers(1, 40), min_size=2, max_size=12))
    ordered = sorted(nodes)
    pairs = [(a, b) for i, a in enumerate(ordered) for b in ordered[i + 1 :]]
    return {pair: draw(st.integers(1, 50)) for pair in pairs if draw(st.booleans())}, nodes


@given(graphs(), st.data())
def test_a_cut_costs_what_networkx_says(graph: tuple[Edges, set[int]], data: st.DataObject) -> None:
    """One split gives up contacts of the least sum that keeps its sides apart, and leaves exactly two parts."""
    edges, nodes = graph
    a, b = data.draw(st.lists(st.sampled_from(sorted(nodes)), min_size=2, max_size=2, unique=True))
    after = apply(edges, [], [Cut((a,), (b,))], nodes)
    before = components(nodes, list(edges))
    given_up = sum(cost for (x, y), cost in edges.items() if after[x] != after[y])
    slow = nx.Graph()
    slow.add_nodes_from(nodes)
    slow.add_weighted_edges_from([(x, y, cost) for (x, y), cost in edges.items()], weight="capacity")
    assert given_up == nx.minimum_cut_value(slow, a, b)
    assert len(set(after.values())) == len(set(before.values())) + (before[a] == before[b])


@given(graphs(), st.data())
def test_all_edits_hold_in_any_order(graph: tuple[Edges, set[int]], data: st.DataObject) -> None:
    """Merged pieces are one, split ones are not, segments are connected, or the list is refused; order is nothing."""
    edges, nodes = graph
    pair = st.lists(st.sampled_from(sorted(nodes)), min_size=2, max_size=2, unique=True)
    links = [(a, b) for a, b in data.draw(st.lists(pair, max_size=3))]
    cuts = [Cut((a,), (b,)) for a, b in data.draw(st.lists(pair, max_size=4))]
    joined = components(nodes, links)
    if any(joined[cut.one[0]] == joined[cut.other[0]] for cut in cuts):
        with pytest.raises(DataError, match="sets apart"):
            apply(edges, links, cuts, nodes)
        return
    after = apply(edges, links, cuts, nodes)
    assert all(after[a] == after[b] for a, b in links)
    assert all(after[cut.one[0]] != after[cut.other[0]] for cut in cuts)
    kept = [edge for edge in edges if after[edge[0]] == after[edge[1]]]
    assert after == components(nodes, [*kept, *links])
    turned = [Cut(cut.other, cut.one) for cut in data.draw(st.permutations(cuts))]
    assert apply(edges, [(b, a) for a, b in reversed(links)], turned, nodes) == after


def test_what_no_edit_names_stays() -> None:
    """A split of one segment changes no other, and nothing where both sides were apart already."""
    edges = {(1, 2): 9, (2, 3): 1, (7, 8): 5}
    segments = {1: 1, 2: 1, 3: 1, 7: 7, 8: 7}
    found: EditedSegments = edited_segments(contacts(edges), segments, [(7, 8)], [Cut((1,), (3,)), Cut((1,), (7,))])
    assert dict(zip(found.names.keys.tolist(), found.names.values.tolist(), strict=True)) == {3: 3}
    assert (found.joined_already, found.apart_already) == (1, 1)


def test_sums_beyond_32_bits_are_cut_at_the_right_place() -> None:
    """The flow is computed in 32 bits; a large segment's sums are more, and keep their order."""
    edges = {(1, 2): 2**40, (2, 3): 2**39, (3, 4): 2**41}
    after = apply(edges, [], [Cut((1,), (4,))], {1, 2, 3, 4})
    assert after == {1: 1, 2: 1, 3: 3, 4: 3}
