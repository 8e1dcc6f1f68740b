"""Explanations: every branch on graphs made by hand, laws on random ones, and a run."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles.segmentation import agglomerate as slow_agglomerate
from oracles.segmentation import best_way
from small_runs import CORNER
from strategies import region_graphs

from abiss_py import Clusters, Contacts, MergeTree, agglomerate
from seuron.engine.run import Run
from seuron.errors import DataError
from seuron.pipelines.segmentation.analysis import Explanation, Veto, explain_run, region_graph
from seuron.pipelines.segmentation.analysis.explain import Link, Place, explain
from seuron.pipelines.segmentation.analysis.formatting import sentences
from seuron.volumes import open_volume

SCALE = 255


def place(edge: int) -> Place:
    return Place(voxel=(edge, 0, 0), nm=(8.0 * edge, 0, 0))


def graph_of(*rows: tuple[int, int, int, int]) -> Contacts:
    """Contacts a, b, total, count; the first edge is the row's number."""
    columns = [*zip(*rows, strict=True), range(len(rows))]
    return Contacts(*(np.array(column, np.int64) for column in columns))


def explained(graph: Contacts, threshold: float, a: int, b: int, vetoes: tuple[Veto, ...] = ()) -> Explanation:
    joins = agglomerate(graph, Clusters.empty(), np.zeros(0, np.int64), 0.0, SCALE).joins
    return explain(graph, MergeTree.of(joins, SCALE, 0.0), threshold, (a, b), place, vetoes)


def link(a: int, b: int, total: int, count: int, edge: int) -> Link:
    return Link(a=a, b=b, mean=total / (count * SCALE), voxel_edges=count, place=place(edge))


#: 1 - 2 strong, 2 - 3 and 1 - 3 weaker, 4 apart but for 3, 8 - 9 on their own.
GRAPH = graph_of((1, 2, 450, 2), (1, 3, 100, 1), (2, 3, 200, 1), (3, 4, 51, 1), (8, 9, 200, 1))


def test_one_supervoxel_needs_no_join() -> None:
    """Both pieces are the same: the watershed decided."""
    found = explained(GRAPH, 0.3, 2, 2)
    assert found.relation == "same supervoxel"
    assert (found.segments, found.chain, found.weakest, found.focus) == ((1, 1), (), None, None)
    assert sentences(found) == [
        "Both are supervoxel 2 of segment 1: the watershed made them one, before agglomeration."
    ]


def test_one_segment_is_explained_by_the_joins_between() -> None:
    """The second join pooled 1-3 and 2-3: mean 150 over two edges, first seen between 1 and 3."""
    found = explained(GRAPH, 0.3, 2, 3)
    assert found.relation == "joined"
    assert found.segments == (1, 1)
    assert found.chain == (link(2, 1, 450, 2, 0), link(1, 3, 300, 2, 1))
    assert found.weakest == found.focus == found.chain[1]
    told = sentences(found)
    assert told[0] == "Supervoxels 2 and 3 are one: segment 1, at the threshold 0.3."
    assert told[1].startswith("2 joins lie between them; the weakest: mean 0.588235 over 2 voxel edges, the first at")
    assert told[-1].endswith("at voxel 1, 0, 0 (8, 0, 0 nm) (weakest)")


def test_a_weak_contact_is_told_with_its_place_and_the_threshold_that_would_join() -> None:
    """At 0.6, 1+2 touch 3 with a mean of 150: not above. Any threshold below 150/255 makes them one."""
    found = explained(GRAPH, 0.6, 2, 3)
    assert found.relation == "weak contact"
    assert found.segments == (1, 3)
    assert found.contact == found.focus == link(1, 3, 300, 2, 1)
    assert found.path == ()
    assert found.weakest is not None
    assert found.weakest.mean == 150 / 255
    told = sentences(found)
    assert told[0] == "Segments 1 and 3 are two, at the threshold 0.6."
    assert "mean affinity of 0.588235, which is not above the threshold" in told[1]
    assert told[2].startswith("They are one at every threshold below 0.588235, by 2 joins; the weakest: mean 0.588235")


def test_without_a_contact_the_best_way_is_told() -> None:
    """1+2+3 and 4 touch at 0.3; at 0.6 the way from 1 to 4 goes through 3."""
    assert explained(GRAPH, 0.3, 1, 4).contact == link(1, 4, 51, 1, 3)
    found = explained(GRAPH, 0.6, 2, 4)
    assert found.relation == "no contact"
    assert found.contact is None
    assert found.path == (link(1, 3, 300, 2, 1), link(3, 4, 51, 1, 3))
    assert found.bottleneck == found.focus == found.path[1]
    told = sentences(found)
    assert told[1] == "They do not touch: there is no voxel edge between them."
    assert told[3] == "The best way from the one to the other, through other segments:"
    assert told[-1].endswith("(weakest)")


def test_where_nothing_leads_from_one_to_the_other_that_is_said() -> None:
    """8 is in another part of the graph, 77 in none at all: a supervoxel without a contact."""
    for other in (8, 77):
        found = explained(GRAPH, 0.3, 1, other)
        assert found.relation == "unconnected"
        assert (found.contact, found.path, found.chain, found.focus) == (None, (), (), None)
        assert sentences(found)[-1].startswith("No threshold makes them one")


def test_vetoes_between_the_two_are_told() -> None:
    """By whatever names their clusters had; one between other segments is not."""
    vetoes = (Veto(2, 3, "size", 200, 1, 2), Veto(3, 4, "twig", 51, 1, 3))
    found = explained(GRAPH, 0.6, 1, 3, vetoes)
    assert found.relation == "forbidden"
    assert [(refused.rule, refused.contact) for refused in found.forbidden] == [("size", link(2, 3, 200, 1, 2))]
    assert found.focus == found.forbidden[0].contact
    assert found.contact == link(1, 3, 300, 2, 1)
    told = sentences(found)
    assert told[1].startswith("The rule size forbade to join clusters 2 and 3: mean 0.784314 over 1 voxel edge,")
    assert "not above the threshold" not in told[2]


def test_vetoes_on_the_way_between_two_are_told() -> None:
    """1+2 and 4 do not touch: what kept apart 2 and 3, on the best way between them, is named."""
    vetoes = (Veto(2, 3, "size", 200, 1, 2), Veto(8, 9, "size", 200, 1, 4))
    found = explained(GRAPH, 0.6, 1, 4, vetoes)
    assert found.relation == "no contact"
    assert [refused.contact for refused in found.forbidden] == [link(2, 3, 200, 1, 2)]
    assert found.focus == found.bottleneck
    told = "On the best way between them, the rule size forbade to join clusters 2 and 3: mean 0.784314"
    assert sentences(found)[1].startswith(told)


def test_where_rules_forbid_every_way_no_threshold_is_told() -> None:
    """No join is left between the two though they touch; and no such thing is said where the tree does not tell."""
    nothing = Contacts.empty()
    veto = Veto(8, 9, "size", 200, 1, 4)
    for lowest, words in ((0.0, "No threshold makes them one: the run's rules forbid it."), (0.6, "cannot be told")):
        found = explain(GRAPH, MergeTree.of(nothing, SCALE, lowest), 0.6, (8, 9), place, [veto])
        assert found.relation == "forbidden"
        assert words in sentences(found)[-1]


def test_many_vetoes_are_cut_in_the_middle() -> None:
    """A segment's parts were kept from another one thirty times: twelve are told, the strongest first."""
    vetoes = tuple(Veto(8, 9, f"rule {n}", 100 + n, 1, n) for n in range(30))
    found = explained(GRAPH, 0.9, 8, 9, vetoes)
    assert found.forbidden[0].rule == "rule 29"
    told = sentences(found)
    assert "  ... 18 more (--json lists all) ..." in told
    assert sum("forbade" in line for line in told) == 12


def test_long_ways_are_cut_in_the_middle() -> None:
    """A chain of 30 links: twelve of them are told, and how many are not."""
    rows = [(i, i + 1, 200 - i, 1) for i in range(1, 31)]
    told = sentences(explained(graph_of(*rows), 0.1, 1, 31))
    assert len(told) == 3 + 13
    assert "  ... 18 more (--json lists all) ..." in told


@given(region_graphs(), st.sampled_from([0.05, 0.31, 0.52, 0.77, 0.93]), st.integers(1, 12), st.integers(1, 12))
def test_an_explanation_agrees_with_the_slow_twins(graph: Contacts, threshold: float, a: int, b: int) -> None:
    """One segment or two at any threshold; chains and paths lead from end to end; the bottleneck is the best."""
    rows = {
        (int(r[0]), int(r[1])): [int(v) for v in r[2:]]
        for r in zip(graph.a, graph.b, graph.total, graph.count, graph.first, strict=True)
    }
    names = {i: i for i in range(1, 13)} | slow_agglomerate(rows, threshold, SCALE)[0]
    found = explained(graph, threshold, a, b)
    assert found.segments == (names[a], names[b])
    assert (found.relation in ("joined", "same supervoxel")) == (names[a] == names[b])
    for limit in (0.02, 0.33, 0.61, 0.9):
        at_limit = {i: i for i in range(1, 13)} | slow_agglomerate(rows, limit, SCALE)[0]
        one = a == b or (found.weakest is not None and found.weakest.mean > limit)
        assert one == (at_limit[a] == at_limit[b])
    for links, ends in ((found.chain, (a, b)), (found.path, found.segments)):
        if links:
            assert (links[0].a, links[-1].b) == ends
            assert all(one.b == other.a for one, other in pairwise(links))
    if found.relation in ("no contact", "unconnected"):
        pooled: dict[tuple[int, int], list[int]] = {}
        for (one, other), (total, count, _) in rows.items():
            pair = (names[one], names[other])
            into = pooled.setdefault((min(pair), max(pair)), [0, 0])
            into[0] += total
            into[1] += count
        means = {pair: Fraction(total, count * SCALE) for pair, (total, count) in pooled.items()}
        best = best_way(means, names[a], names[b])
        assert (found.bottleneck is None) == (best is None)
        if best is not None and found.bottleneck is not None:
            assert found.bottleneck.mean == float(best)


@pytest.fixture(scope="module")
def label(whole: Run) -> dict[str, np.ndarray]:
    box = whole.facts.box
    return {name: open_volume(whole.layer(name)).read(box)[..., 0] for name in ("supervoxels", "segmentation")}


def test_ids_and_voxels_of_a_run_mean_the_same(whole: Run, chunked: Run, label: dict[str, np.ndarray]) -> None:
    """A supervoxel's id, any of its voxels, and the run's chunks make no difference; places are the volume's."""
    segments, counts = np.unique(label["segmentation"], return_counts=True)
    largest = int(segments[1:][np.argmax(counts[1:])])
    inside = np.unique(label["supervoxels"][label["segmentation"] == largest])
    a, b = int(inside[0]), int(inside[-1])
    assert a == largest
    x, y, z = (int(i[0]) + c for i, c in zip(np.nonzero(label["supervoxels"] == b), CORNER, strict=True))
    found = explain_run(whole, a, b)
    assert found.relation == "joined"
    assert found == explain_run(whole, a, (x, y, z)) == explain_run(chunked, a, (x, y, z))
    for one in found.chain:
        voxel = tuple(v - c for v, c in zip(one.place.voxel, CORNER, strict=True))
        assert int(label["supervoxels"][voxel]) in (one.a, one.b)
        assert one.place.nm == tuple(v * r for v, r in zip(one.place.voxel, (8, 8, 40), strict=True))


def test_contacts_of_a_run_are_told_as_its_graph_has_them(whole: Run, label: dict[str, np.ndarray]) -> None:
    """For pairs of the region graph: one segment where the layer says so, else a contact not above the threshold."""
    graph = region_graph(whole)
    told = set()
    for row in range(0, len(graph), max(1, len(graph) // 40)):
        a, b = int(graph.a[row]), int(graph.b[row])
        found = explain_run(whole, a, b)
        first, second = (int(label["segmentation"][label["supervoxels"] == i][0]) for i in (a, b))
        assert found.segments == (first, second)
        told.add(found.relation)
        if first != second:
            assert found.contact is not None
            assert found.contact.mean <= found.threshold
    assert told == {"joined", "weak contact"}


def test_what_the_run_does_not_have_is_refused(whole: Run, label: dict[str, np.ndarray]) -> None:
    """Ids that are no supervoxel's, places outside the box, and background."""
    known = int(label["supervoxels"].max())
    inner = np.argwhere(label["supervoxels"][1:] == label["supervoxels"][:-1])[0]
    x, y, z = (int(i) for i in (inner[0] + 1, *inner[1:]))
    taken = 1 + x + 56 * (y + 48 * z)  # a voxel that is not the first of its supervoxel
    for wrong in (0, -3, taken, 10**15):
        with pytest.raises(DataError, match=f"has no supervoxel or segment {wrong}"):
            explain_run(whole, known, wrong)
    with pytest.raises(DataError, match=r"the voxel \(0, 0, 0\) is outside the run's box"):
        explain_run(whole, (0, 0, 0), known)
    empty = np.argwhere(label["supervoxels"] == 0)[0] + CORNER
    with pytest.raises(DataError, match="is background"):
        explain_run(whole, known, tuple(int(i) for i in empty))
