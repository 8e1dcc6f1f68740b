"""The merge tree: one agglomeration holds the result of every threshold above its own."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles.segmentation import agglomerate as slow_agglomerate
from strategies import region_graphs

from abiss_py import ArgumentError, Clusters, Contacts, MergeTree, agglomerate, best_first

NOTHING_OPEN = np.zeros(0, np.int64)
#: Thresholds that equal means of bytes, and some that do not.
THRESHOLDS = [0.0, 0.1, 51 / 255, 0.5, 2 / 3, 204 / 255, 0.9, 1.0]


@given(st.lists(st.tuples(st.integers(1, 2**39 - 1), st.fractions(0, 1)), max_size=20), st.data())
def test_rows_come_in_the_exact_order_of_their_means(rows: list[tuple[int, Fraction]], data: st.DataObject) -> None:
    """Equal to sorting fractions, for any count below 2^39 and means that differ in their last bits."""
    steps = data.draw(st.lists(st.integers(0, 1), min_size=len(rows), max_size=len(rows)))
    totals = [
        min(int(mean * count * 2**24) + step, count * 2**24) for (count, mean), step in zip(rows, steps, strict=True)
    ]
    firsts = data.draw(st.permutations(range(len(rows))))
    counts = [count for count, _ in rows]
    none = [0] * len(rows)
    contacts = Contacts(*(np.array(column, np.int64) for column in (none, none, totals, counts, firsts)))
    expected = sorted(range(len(rows)), key=lambda i: (-Fraction(totals[i], counts[i]), firsts[i]))
    assert best_first(contacts).tolist() == expected


def test_means_that_floats_cannot_tell_apart_are_ordered() -> None:
    """Quotients of these two rows are one float64; the exactly larger mean comes first."""
    count = 2**39 - 1
    totals = np.array([(count - 1) * 2**23, count * 2**23 - 1], np.int64)
    counts = np.array([count - 1, count], np.int64)
    assert totals[0] / counts[0] == totals[1] / counts[1]
    none = np.zeros(2, np.int64)
    for order in ([0, 1], [1, 0]):
        contacts = Contacts(none, none, totals[order], counts[order], np.array([1, 0]))
        assert np.array(order)[best_first(contacts)].tolist() == [0, 1]


@given(region_graphs(), st.sampled_from(THRESHOLDS), st.sampled_from(THRESHOLDS))
def test_joins_above_a_threshold_are_those_of_agglomeration_at_it(graph: Contacts, one: float, other: float) -> None:
    """The law of sweeps: row for row, and the segments are those of the slow twin."""
    lowest, threshold = sorted((one, other))
    tree = MergeTree.of(agglomerate(graph, Clusters.empty(), NOTHING_OPEN, lowest, 255).joins, 255, lowest)
    there = agglomerate(graph, Clusters.empty(), NOTHING_OPEN, threshold, 255)
    made = tree.above(threshold)
    for name in ("a", "b", "total", "count", "first"):
        np.testing.assert_array_equal(getattr(tree.joins, name)[:made], getattr(there.joins, name))
    ids = np.unique(np.concatenate([graph.a, graph.b]))
    rows = zip(
        graph.a.tolist(),
        graph.b.tolist(),
        graph.total.tolist(),
        graph.count.tolist(),
        graph.first.tolist(),
        strict=True,
    )
    names, _ = slow_agglomerate({(a, b): rest for a, b, *rest in rows}, threshold, 255)
    assert tree.names(0, made).follow(ids).tolist() == [names[i] for i in ids.tolist()]


@given(region_graphs(), st.data())
def test_names_may_be_followed_in_steps(graph: Contacts, data: st.DataObject) -> None:
    """From any threshold to the next, and on: the same as at once. Joins may have been decided in any order."""
    joins = agglomerate(graph, Clusters.empty(), NOTHING_OPEN, 0.0, 255).joins
    shuffled = joins.take(np.array(data.draw(st.permutations(range(len(joins)))), np.int64))
    tree = MergeTree.of(shuffled, 255, 0.0)
    np.testing.assert_array_equal(tree.joins.first, joins.first)
    first, second = sorted(data.draw(st.tuples(*[st.integers(0, len(joins))] * 2)))
    ids = np.arange(1, 13)
    in_steps = tree.names(first, second).follow(tree.names(0, first).follow(ids))
    np.testing.assert_array_equal(in_steps, tree.names(0, second).follow(ids))


def test_a_threshold_below_the_tree_is_refused() -> None:
    """Joins that were never made would be missing without a sign."""
    tree = MergeTree(Contacts.empty(), 255, 0.3)
    assert tree.above(0.3) == 0
    with pytest.raises(ArgumentError, match=r"down to the threshold 0\.3, got 0\.2"):
        tree.above(0.2)
