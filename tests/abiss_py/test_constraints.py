"""Rules as data: what they forbid, and that no chunking, batching or stop changes what they decide."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import constraint_examples
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracles import segmentation as oracle
from strategies import (
    CLASS_NAMES,
    WITHOUT_JIT,
    affinity_maps,
    constraint_lists,
    semantic_labels,
    settings_of_segmentation,
    shapes,
)

import abiss_py
from abiss_py import Clusters, Contacts, CustomRule, SemanticRule, SizeRule, TwigRule, parse_constraints

ROOT = Path(__file__).parents[2]
Triple = tuple[int, int, int]


def rows_of(table: Any) -> set[tuple[int, ...]]:
    """A table's rows, whatever their order."""
    columns = [getattr(table, name).tolist() for name in table.__dataclass_fields__]
    rows = list(zip(*columns, strict=True))
    assert len(set(rows)) == len(rows)
    return set(rows)


@given(affinity_maps(), settings_of_segmentation(), constraint_lists(), st.integers(0, 2**32 - 1))
def test_rules_forbid_what_the_definitions_say(
    affinities: NDArray[Any], rules: dict[str, Any], constraints: Any, seed: int
) -> None:
    """Segments and vetoes are those of the plain twin, with rules of every kind."""
    kinds = semantic_labels(affinities.shape[:3], seed)
    given = {**rules, "constraints": constraints, "semantic": kinds, "class_names": CLASS_NAMES}
    found = abiss_py.segment(affinities, **given)
    _, segments, vetoes = oracle.segment(affinities, **given)
    np.testing.assert_array_equal(found.segments, segments)
    columns = (getattr(found.vetoes, name).tolist() for name in ("a", "b", "rule", "total", "count", "first"))
    assert list(zip(*columns, strict=True)) == vetoes


@given(affinity_maps(14), settings_of_segmentation(), constraint_lists(), st.integers(0, 2**32 - 1), shapes(8))
def test_no_chunking_changes_what_rules_decide(
    affinities: NDArray[Any], rules: dict[str, Any], constraints: Any, seed: int, chunk_size: Triple
) -> None:
    """Any grid of chunks gives the segments, the merge tree and the vetoes of one chunk."""
    kinds = semantic_labels(affinities.shape[:3], seed)
    given = {**rules, "constraints": constraints, "semantic": kinds, "class_names": CLASS_NAMES}
    whole = abiss_py.segment(affinities, **given)
    parts = abiss_py.segment(affinities, chunk_size=chunk_size, **given)
    assert whole.segments.tobytes() == parts.segments.tobytes()
    assert rows_of(whole.vetoes) == rows_of(parts.vetoes)
    assert rows_of(whole.joins) == rows_of(parts.joins)


def small_presets() -> dict[str, tuple[abiss_py.Constraint, ...]]:
    """The presets, with numbers that small volumes reach."""
    changes: dict[str, dict[str, Any]] = {
        "semantic": {"evidence": 4, "below": 0.9},
        "twig": {"voxels": 12, "edges": 3, "delta": -0.2},
    }
    sizes = {
        "macrina2021": {"smaller_over": 1, "larger_over": 3, "below": 0.9},
        "abiss2026": {"smaller_over": 15, "sum_over": 60, "below": 0.9},
    }
    return {
        name: tuple(replace(rule, **(sizes[name] if rule.kind == "size" else changes[rule.kind])) for rule in preset)
        for name, preset in abiss_py.PRESETS.items()
    }


@given(
    affinity_maps(16),
    settings_of_segmentation(),
    st.sampled_from(sorted(abiss_py.PRESETS)),
    st.integers(0, 2**32 - 1),
    shapes(9),
)
def test_presets_hold_in_every_chunking(
    affinities: NDArray[Any], rules: dict[str, Any], preset: str, seed: int, chunk_size: Triple
) -> None:
    """The shipped rule lists, scaled down, give one result for all chunk sizes."""
    kinds = semantic_labels(affinities.shape[:3], seed)
    given = {**rules, "constraints": small_presets()[preset], "semantic": kinds, "class_names": CLASS_NAMES}
    whole, parts = (abiss_py.segment(affinities, chunk_size=size, **given) for size in (None, chunk_size))
    assert whole.segments.tobytes() == parts.segments.tobytes()
    assert rows_of(whole.vetoes) == rows_of(parts.vetoes)


def test_every_rule_of_the_presets_vetoes_something() -> None:
    """The tests of the presets reach all their rules; else they would say nothing."""
    random = np.random.default_rng(5)
    affinities = random.integers(60, 256, (24, 24, 24, 3)).astype(np.uint8)
    kinds = semantic_labels((24, 24, 24), 3)
    for name, preset in small_presets().items():
        found = abiss_py.segment(
            affinities,
            high=1,
            low=0.1,
            size=5,
            dust=0,
            threshold=0.3,
            constraints=preset,
            semantic=kinds,
            class_names=CLASS_NAMES,
        )
        assert set(found.vetoes.rule.tolist()) == set(range(len(preset))), name


@st.composite
def region_graphs(draw: st.DrawFn) -> tuple[Contacts, Clusters, NDArray[np.int64], int]:
    """Contacts between few ids, their rows, some of them open, and the scale.

    Means are all the same, of few values, or so close that only exact comparison tells them apart, up to
    the largest sums.
    """
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([255, 2**24]))
    nodes = draw(st.integers(2, 20))
    a, b = np.nonzero(np.triu(random.random((nodes, nodes)) < draw(st.sampled_from([0.3, 0.7, 1.0])), 1))
    largest = draw(st.sampled_from([1, 3, 40, 2**20, 2**31]))
    count = random.integers(1, largest + 1, a.size)
    style = draw(st.sampled_from(["one", "few", "close", "any"]))
    if style == "one":
        total = count * (scale // 2)
    elif style == "few":
        total = count * random.choice([0, scale // 3, scale // 2, scale], a.size)
    elif style == "close":
        total = np.maximum(0, count * (scale // 2) - random.integers(0, 3, a.size))
    else:
        total = (count * scale * random.random(a.size)).astype(np.int64)
    ids = np.sort(random.choice(10**6, nodes, replace=False)) + 1
    contacts = Contacts(ids[a], ids[b], total, count, random.permutation(a.size).astype(np.int64) * 7)
    classes = random.integers(0, 20, (nodes, len(CLASS_NAMES)))
    clusters = Clusters(ids, random.integers(1, 100, nodes), np.ones(nodes, np.int64), classes)
    return contacts.renamed(contacts.a, contacts.b), clusters, ids[random.random(nodes) < 0.3], scale


@given(region_graphs(), constraint_lists(), st.sampled_from([0.0, 0.1, 1 / 3, 0.5]))
def test_graphs_of_any_sums_are_decided_exactly(graph: Any, constraints: Any, threshold: float) -> None:
    """Ties, means that differ in their last bit, and sums near 2^62 come in the order of the twin."""
    contacts, clusters, _, scale = graph
    nobody = np.zeros(0, np.int64)
    found = abiss_py.agglomerate(
        contacts, clusters, nobody, threshold, scale, constraints=constraints, class_names=CLASS_NAMES
    )
    columns = [getattr(contacts, name).tolist() for name in ("a", "b", "total", "count", "first")]
    plain = {(a, b): [total, count, first] for a, b, total, count, first in zip(*columns, strict=True)}
    rows = {
        int(i): oracle.Row(int(v), int(s), tuple(c.tolist()))
        for i, v, s, c in zip(clusters.ids, clusters.voxels, clusters.supervoxels, clusters.classes, strict=True)
    }
    name, vetoes = oracle.agglomerate(plain, threshold, scale, constraints, rows, CLASS_NAMES)
    ids = np.array(sorted(name), np.int64)
    assert found.mapping.follow(ids).tolist() == [name[i] for i in ids.tolist()]
    columns = [getattr(found.vetoes, name).tolist() for name in ("a", "b", "rule", "total", "count", "first")]
    assert list(zip(*columns, strict=True)) == vetoes
    assert len(found.contacts) == len(found.clusters) == 0


@given(
    region_graphs(),
    constraint_lists(),
    st.sampled_from([0.0, 0.1, 1 / 3]),
    st.lists(st.sampled_from([0.4, 0.5, 0.6, 0.9, 1.0]), max_size=3),
)
def test_rounds_of_falling_stops_are_one_run(
    graph: Any, constraints: Any, threshold: float, stops: list[float]
) -> None:
    """Stopping at .9, then at .6, then at the threshold decides the same, in the same order, as not stopping."""
    contacts, clusters, open_ids, scale = graph
    rules = {"constraints": constraints, "class_names": CLASS_NAMES}
    once = abiss_py.agglomerate(contacts, clusters, open_ids, threshold, scale, **rules)
    ids, joins, vetoes = clusters.ids, [], []
    for stop in [*sorted(stops, reverse=True), threshold]:
        part = abiss_py.agglomerate(contacts, clusters, open_ids, threshold, scale, stop=stop, **rules)
        contacts, clusters = part.contacts, part.clusters
        ids, open_ids = part.mapping.follow(ids), np.unique(part.mapping.follow(open_ids))
        joins.append(part.joins)
        vetoes.append(part.vetoes)
    np.testing.assert_array_equal(ids, once.mapping.follow(graph[1].ids))
    same_tables(Contacts.join(joins), once.joins)
    same_tables(abiss_py.Vetoes.join(vetoes), once.vetoes)
    same_tables(contacts, once.contacts)
    same_tables(clusters, once.clusters)


def same_tables(found: Any, expected: Any) -> None:
    for name in found.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


@given(affinity_maps(9), settings_of_segmentation(), constraint_lists(), st.integers(0, 2**32 - 1), st.randoms())
def test_slabs_joined_in_any_order_decide_the_same(
    affinities: NDArray[Any], rules: dict[str, Any], constraints: Any, seed: int, random: Any
) -> None:
    """Region graphs of slabs, agglomerated and then joined in any order, end as that of the whole."""
    kinds = semantic_labels(affinities.shape[:3], seed)
    given = {**rules, "constraints": constraints, "semantic": kinds, "class_names": CLASS_NAMES}
    whole = abiss_py.segment(affinities, **given)
    ids = whole.supervoxels.ravel(order="F").astype(np.int64)
    nx, ny, nz, _ = affinities.shape
    cuts = sorted({0, nz, *(random.randrange(nz + 1) for _ in range(3))})
    slab_of = np.searchsorted(cuts, np.arange(ids.size) // (nx * ny), side="right") - 1
    scale = abiss_py.affinity_type(affinities.dtype).scale
    first_voxel = np.zeros(ids.size, np.int64)
    first_voxel[np.unique(ids[ids > 0]) - 1] = 1

    edges = oracle.voxel_edges(affinities)
    slabs = []
    for slab in range(len(cuts) - 1):
        inside = slab_of == slab
        classes = np.eye(1 + len(CLASS_NAMES), dtype=np.int64)[kinds.ravel(order="F")[inside]][:, 1:]
        clusters = Clusters.summed(ids[inside], np.ones(inside.sum(), np.int64), first_voxel[inside], classes)
        own = [edge for edge in edges if slab_of[edge.here] == slab_of[edge.there] == slab]
        slabs.append((slab, slab + 1, contacts_of(own, ids), clusters))
    renamed, vetoes, joins = ids, [], []

    def decide(number: int) -> None:
        """Agglomerate a slab; what it renames is renamed everywhere."""
        nonlocal renamed
        low, high, contacts, clusters = slabs[number]
        planes = renamed.reshape(nz, -1)
        faces = [planes[z] for z, inner in ((cuts[low], low > 0), (cuts[high] - 1, high < len(cuts) - 1)) if inner]
        open_ids = np.unique(np.concatenate([np.zeros(0, np.int64), *faces]))
        part = abiss_py.agglomerate(
            contacts, clusters, open_ids, rules["threshold"], scale, constraints=constraints, class_names=CLASS_NAMES
        )
        assert np.isin(open_ids[open_ids > 0], part.clusters.ids).all() or not len(clusters)
        renamed = part.mapping.follow(renamed)
        slabs[number] = (low, high, part.contacts, part.clusters)
        vetoes.append(part.vetoes)
        joins.append(part.joins)

    for number in range(len(slabs)):
        decide(number)
    while len(slabs) > 1:
        number = random.randrange(len(slabs) - 1)
        (low, middle, *first), (_, high, *second) = slabs[number : number + 2]
        crossing = [e for e in edges if (slab_of[e.here], slab_of[e.there]) == (middle, middle - 1)]
        contacts = Contacts.join([first[0], second[0], contacts_of(crossing, renamed)])
        slabs[number : number + 2] = [
            (low, high, contacts.renamed(contacts.a, contacts.b), Clusters.join([first[1], second[1]]))
        ]
        decide(number)
    np.testing.assert_array_equal(renamed, whole.segments.ravel(order="F"))
    assert rows_of(abiss_py.Vetoes.join(vetoes)) == rows_of(whole.vetoes)
    assert rows_of(Contacts.join(joins)) == rows_of(whole.joins)


def contacts_of(edges: list[oracle.Edge], ids: NDArray[np.int64]) -> Contacts:
    """The contacts that some voxel edges make."""
    columns = np.array([(ids[e.here], ids[e.there], e.amount, 1, e.index) for e in edges], np.int64).reshape(-1, 5).T
    a, b, total, count, first = (np.ascontiguousarray(column) for column in columns)
    low, high = np.minimum(a, b), np.maximum(a, b)
    return Contacts(low, high, total, count, first).renamed(low, high)


def decided(rule: abiss_py.Constraint, total: int, count: int, a: list[int], b: list[int], names: Any = ()) -> bool:
    """Whether a rule forbids to join two clusters of given voxels, supervoxels and classes."""
    rows = np.array([a, b], np.int64)
    clusters = Clusters(np.array([1, 2]), rows[:, 0], rows[:, 1], rows[:, 2:])
    each = (np.array([value]) for value in (1, 2, total, count, 0))
    nobody = np.zeros(0, np.int64)
    found = abiss_py.agglomerate(Contacts(*each), clusters, nobody, 0.1, 255, constraints=[rule], class_names=names)
    assert len(found.vetoes) + len(found.joins) == 1
    return len(found.vetoes) == 1


SIZE = SizeRule(name="size", below=0.5, smaller_over=10, larger_over=20, sum_over=40)
CLASSES = SemanticRule(name="classes", evidence=10, dominance=0.55)
PAIRS = replace(CLASSES, forbidden=(("cell", "glia"),), groups={"cell": ("axon", "dendrite")})
TWIG = TwigRule(name="twig", voxels=10, edges=3, delta=-0.4)


@pytest.mark.parametrize(
    ("rule", "contact", "a", "b", "vetoed"),
    [
        (SIZE, (254, 2), [11, 1], [30, 1], True),
        (SIZE, (255, 2), [11, 1], [30, 1], False),  # 255/510 is not below 0.5
        (SIZE, (254, 2), [10, 1], [31, 1], False),
        (SIZE, (254, 2), [20, 1], [20, 1], False),
        (SIZE, (254, 2), [21, 1], [19, 1], False),
        (replace(SIZE, measure="supervoxels"), (254, 2), [1, 40], [1, 11], True),
        (replace(SIZE, measure="supervoxels"), (254, 2), [100, 2], [100, 2], False),
        (replace(SIZE, below=None, above=0.5), (255, 2), [11, 1], [30, 1], False),
        (replace(SIZE, below=None, above=0.5), (256, 2), [11, 1], [30, 1], True),
        (CLASSES, (200, 1), [99, 1, 11, 9, 0], [99, 1, 0, 10, 0], True),
        (CLASSES, (200, 1), [99, 1, 10, 9, 0], [99, 1, 0, 10, 0], False),  # 10/19 is below 0.55
        (CLASSES, (200, 1), [99, 1, 11, 9, 0], [99, 1, 0, 9, 0], False),  # too little evidence
        (CLASSES, (200, 1), [99, 1, 11, 9, 0], [99, 1, 10, 0, 0], False),
        (replace(CLASSES, evidence=0), (200, 1), [99, 1, 1, 0, 0], [99, 1, 0, 1, 0], True),
        (replace(CLASSES, evidence=0), (200, 1), [99, 1, 1, 0, 0], [99, 1, 0, 0, 0], False),  # shows no class
        (replace(PAIRS, evidence=0), (200, 1), [99, 1, 1, 0, 0], [99, 1, 0, 0, 0], False),
        (PAIRS, (200, 1), [99, 1, 5, 6, 0], [99, 1, 0, 0, 10], True),
        (PAIRS, (200, 1), [99, 1, 0, 0, 10], [99, 1, 5, 6, 0], True),
        (PAIRS, (200, 1), [99, 1, 11, 0, 0], [99, 1, 0, 11, 0], False),
        (TWIG, (254, 2), [10, 1], [500, 1], True),
        (TWIG, (255, 2), [10, 1], [500, 1], False),
        (TWIG, (508, 4), [10, 1], [500, 1], False),
        (TWIG, (254, 2), [11, 1], [500, 1], False),
        (replace(TWIG, delta=0.0), (254, 2), [1, 1], [500, 1], False),
    ],
)
def test_rules_are_exact_at_their_limits(rule: Any, contact: tuple[int, int], a: Any, b: Any, vetoed: bool) -> None:
    """A number on a rule's limit falls on the side that its words say, at 11/20 for a share of 0.55 as well."""
    names = ("axon", "dendrite", "glia") if len(a) > 2 else ()
    assert decided(rule, *contact, a, b, names) == vetoed


def asymmetric(total: int, count: int, a: Any, b: Any) -> bool:
    """Forbids to join where the cluster with the smaller id has more voxels."""
    return bool(a[0] > b[0])


@pytest.mark.skipif(WITHOUT_JIT, reason="predicates and the cache need compiled kernels")
def test_predicates_see_the_smaller_id_first() -> None:
    """A predicate need not be symmetric: which cluster is `a` does not hang on the order of joins."""
    rule = CustomRule(name="own", predicate=asymmetric)
    assert decided(rule, 200, 1, [5, 1], [4, 1])
    assert not decided(rule, 200, 1, [4, 1], [5, 1])


@pytest.mark.skipif(WITHOUT_JIT, reason="predicates and the cache need compiled kernels")
def test_several_own_rules_are_told_apart() -> None:
    """Each custom rule asks its own predicate, and the first that forbids is the one that is noted."""
    functions = (constraint_examples.many_edges, constraint_examples.tiny)
    low, high = (CustomRule(name=function.__name__, predicate=function) for function in functions)
    dumped = parse_constraints(abiss_py.dump_constraints([low, high]))
    assert abiss_py.import_predicates(dumped, ["constraint_examples"]) == (low, high)
    clusters = Clusters(np.array([1, 2, 3]), np.array([9, 9, 1]), np.ones(3, np.int64), np.zeros((3, 0), np.int64))
    contacts = Contacts(*(np.array(c) for c in ([1, 1, 2], [2, 3, 3], [900, 200, 180], [5, 1, 1], [0, 3, 6])))
    found = abiss_py.agglomerate(contacts, clusters, np.zeros(0, np.int64), 0.1, 255, constraints=[high, low])
    assert list(zip(found.vetoes.a, found.vetoes.b, found.vetoes.rule, strict=True)) == [
        (1, 3, 0),
        (1, 2, 1),
        (2, 3, 0),
    ]


@pytest.mark.parametrize("name", sorted(abiss_py.PRESETS))
def test_presets_survive_json(name: str) -> None:
    """A rule list written as JSON and read back is the same rule list."""
    preset = parse_constraints(name)
    assert parse_constraints(json.loads(json.dumps(abiss_py.dump_constraints(preset)))) == preset


def test_all_that_is_wrong_with_rules_is_said_at_once() -> None:
    """Unknown kinds, misspelt and missing fields and wrong values: one error, a line for each rule."""
    wrong: list[Any] = [
        {"rule": "dumbell", "name": "a"},
        {"rule": "size", "name": "b", "smaler_over": 3},
        {"rule": "semantic", "name": "c", "dominance": 0.4, "evidence": -1, "below": 2},
        {"rule": "twig", "name": "d"},
        {"rule": "custom", "name": "e", "predicate": "nowhere.to_be_found"},
        {"rule": "size", "name": "f"},
        {"rule": "size", "name": "f"},
        "size",
    ]
    with pytest.raises(abiss_py.ArgumentError) as error:
        parse_constraints(wrong)
    lines = str(error.value).split("\n")
    words = ["allowed are size", "did you mean 'smaller_over'", "dominance is 0.4", "'edges' is missing", "nowhere"]
    words += ["dictionary", "called 'f'"]
    assert len(lines) == len(words)
    assert all(word in line for word, line in zip(words, lines, strict=True))
    assert "evidence is -1" in lines[2]
    assert "below is 2" in lines[2]
    with pytest.raises(abiss_py.ArgumentError, match="known are macrina2021, abiss2026"):
        parse_constraints("abiss")
    with pytest.raises(abiss_py.ArgumentError, match="speaks of axon, dendrite; the classes are a, b, glia"):
        decided(PAIRS, 200, 1, [9, 1, 1, 1, 1], [9, 1, 1, 1, 1], ("a", "b", "glia"))


def test_what_agglomerate_cannot_take_is_named() -> None:
    """Missing rows, damaged sums and a stop below the threshold are errors, not wrong results."""
    contacts = Contacts(*(np.array([value]) for value in (1, 2, 200, 1, 0)))
    nobody, none = np.zeros(0, np.int64), Clusters.empty()
    with pytest.raises(abiss_py.ArgumentError, match="cluster 1 has contacts but no row"):
        abiss_py.agglomerate(contacts, none, nobody, 0.1, 255, constraints=[SIZE])
    with pytest.raises(abiss_py.ArgumentError, match=r"stop is 0\.05"):
        abiss_py.agglomerate(contacts, none, nobody, 0.1, 255, stop=0.05)
    with pytest.raises(abiss_py.ArgumentError, match="mean above 1"):
        abiss_py.agglomerate(replace(contacts, total=np.array([256])), none, nobody, 0.1, 255)
    with pytest.raises(abiss_py.ArgumentError, match="a < b"):
        abiss_py.agglomerate(replace(contacts, a=np.array([2])), none, nobody, 0.1, 255)
    with pytest.raises(abiss_py.ArgumentError, match="3 columns of classes, class_names 0"):
        decided(SIZE, 200, 1, [1, 1, 1, 1, 1], [1, 1, 1, 1, 1])


def test_semantic_labels_are_checked() -> None:
    """Labels of another shape or type, or of a class without a name, are refused with what is allowed."""
    affinities = np.full((6, 5, 4, 3), 200, np.uint8, order="F")
    rules = {"high": 1.0, "low": 0.1, "size": 0, "dust": 0, "threshold": 0.2, "constraints": [CLASSES]}
    wrong = np.zeros((6, 5, 4), np.uint8)
    wrong[3, 2, 1] = 9
    for semantic, words in (
        (np.zeros((6, 5, 5), np.uint8), "shape"),
        (np.zeros((6, 5, 4), np.int8), "unsigned"),
        (wrong, r"voxel \(3, 2, 1\) is 9; there are 4 classes"),
    ):
        with pytest.raises(abiss_py.ArgumentError, match=words):
            abiss_py.segment(affinities, semantic=semantic, class_names=CLASS_NAMES, **rules)


@pytest.mark.skipif(WITHOUT_JIT, reason="predicates and the cache need compiled kernels")
def test_kernels_come_from_the_disk_cache() -> None:
    """A process compiles no agglomeration kernel that one before it has compiled, own predicates or not."""
    script = (
        "import sys, numpy as np, abiss_py, abiss_py.kernels.agglomeration as k\n"
        "sys.path.insert(0, 'tests')\n"
        "c = abiss_py.Contacts(*(np.array([v]) for v in (1, 2, 200, 1, 0))); ids = np.array([1, 2])\n"
        "r = abiss_py.Clusters(ids, ids, ids, np.zeros((2, 0), np.int64))\n"
        "import constraint_examples\n"
        "for rules in ((), [abiss_py.CustomRule(name='own', predicate=constraint_examples.tiny)]):\n"
        "    abiss_py.agglomerate(c, r, ids[:0], .1, 255, constraints=rules)\n"
        "print(sum(k.agglomerate.stats.cache_misses.values()), sum(k.agglomerate.stats.cache_hits.values()))\n"
    )
    for _ in range(2):  # the first one may have to fill the cache
        found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["0", "2"]


def test_contacts_that_are_pooled_among_ties_keep_their_place() -> None:
    """A contact that comes to tie with others by being pooled comes up by its first edge, not later."""
    rows = [
        (1, 2, 381, 3, 98), (1, 4, 889, 7, 42), (1, 7, 127, 1, 84), (1, 10, 127, 1, 77), (2, 4, 381, 3, 203),
        (2, 6, 381, 3, 0), (2, 8, 890, 7, 175), (2, 9, 1779, 14, 63), (2, 10, 126, 1, 238), (3, 6, 254, 2, 7),
        (3, 7, 763, 6, 147), (3, 8, 1016, 8, 189), (4, 6, 1142, 9, 91), (4, 7, 381, 3, 161), (4, 9, 1270, 10, 14),
        (4, 10, 763, 6, 105), (5, 6, 254, 2, 35), (5, 8, 761, 6, 112), (5, 10, 889, 7, 210), (6, 9, 254, 2, 196),
        (6, 10, 1652, 13, 49), (7, 9, 509, 4, 217), (7, 10, 888, 7, 224), (8, 9, 760, 6, 56), (8, 10, 890, 7, 21),
    ]  # fmt: skip
    contacts = Contacts(*np.array(rows, np.int64).T.copy())
    ids, one = np.arange(1, 11), np.ones(10, np.int64)
    clusters = Clusters(ids, one, one, np.zeros((10, 0), np.int64))
    rule = SizeRule(name="size", smaller_over=1)
    found = abiss_py.agglomerate(contacts, clusters, np.zeros(0, np.int64), 0.0, 255, constraints=[rule])
    plain = {(a, b): [total, count, first] for a, b, total, count, first in rows}
    name, vetoes = oracle.agglomerate(plain, 0.0, 255, [rule], {i: oracle.Row(1, 1, ()) for i in range(1, 11)}, ())
    assert found.mapping.follow(ids).tolist() == [name[i] for i in ids.tolist()]
    assert list(zip(found.vetoes.a.tolist(), found.vetoes.b.tolist(), strict=True)) == [veto[:2] for veto in vetoes]
