"""Graphs that do not fit into memory: rounds of falling thresholds give what one piece gives."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from abiss_py import Clusters, Contacts, Mapping, SizeRule, agglomerate
from seuron.errors import RunError
from seuron.pipelines.segmentation.external.graph_on_disk import CELLS_EACH, LEVELS, store_graph
from seuron.pipelines.segmentation.external.rounds import (
    Joining,
    Split,
    agglomerate_bin,
    final_names,
    finish_rounds,
    gather_round,
    number_graph,
    split_graph,
)
from seuron.pipelines.segmentation.table_schemas import cluster_columns, read_contacts
from seuron.storage import Storage
from seuron.storage.tables import read_table

SCALE = 255
NONE = np.zeros(0, np.int64)


def random_graph(seed: int, nodes: int, contacts: int, ties: int) -> Contacts:
    """A graph of sparse ids; `ties` is how many different affinities there are."""
    random = np.random.default_rng(seed)
    ids = np.sort(random.choice(10 * nodes + 1, nodes, replace=False)) + 1
    a, b = random.choice(ids, (2, contacts))
    count = 2 * random.integers(1, 5, contacts)
    total = count * (random.integers(0, ties + 1, contacts) * SCALE // ties)
    return Contacts(a, b, total, count, random.permutation(contacts)).renamed(a, b)


def in_rounds(folder: Path, contacts: Contacts, clusters: Clusters, joining: Joining, rows: int) -> list[Split]:
    """All rounds in one process, contacts handed over in pieces with pairs that repeat."""
    storages = (Storage(str(folder / str(i))) for i in itertools.count())
    ids = np.union1d(contacts.a, contacts.b)
    half = Contacts(contacts.a, contacts.b, contacts.total // 2, contacts.count // 2, contacts.first)
    rest = Contacts(
        contacts.a, contacts.b, contacts.total - half.total, contacts.count - half.count, contacts.first + 1000
    )
    pieces: Iterator[Contacts] = iter([rest, half]) if len(contacts) else iter([])
    nodes = cluster_columns(clusters)
    in_pieces = [{name: column[part] for name, column in nodes.items()} for part in (slice(3), slice(3, None))]
    graph = number_graph(next(storages), in_pieces, ids.size, pieces, SCALE, 2 * len(contacts), rows)
    return list(finish_rounds(graph, joining, rows, storages))


@given(
    seed=st.integers(0, 2**32 - 1),
    nodes=st.integers(2, 60),
    density=st.integers(1, 4),
    ties=st.sampled_from([1, 2, 5, 255]),
    threshold=st.sampled_from([0.0, 0.2, 0.5]),
    rows=st.integers(30, 120),
    limit=st.sampled_from([None, 3, 8]),
)
def test_rounds_join_what_one_piece_joins(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    nodes: int,
    density: int,
    ties: int,
    threshold: float,
    rows: int,
    limit: int | None,
) -> None:
    """Names, joins and vetoes do not depend on how many contacts fit into memory, rules included."""
    contacts = random_graph(seed, nodes, density * nodes, ties)
    ids = np.union1d(contacts.a, contacts.b)
    clusters = Clusters(ids, ids % 7 + 1, np.ones_like(ids), np.zeros((ids.size, 0), np.int64))
    rules = () if limit is None else (SizeRule(name="dumbbell", measure="voxels", smaller_over=limit),)
    whole = agglomerate(contacts, clusters, NONE, threshold, SCALE, constraints=rules)
    joining = Joining(threshold, SCALE, rules)
    try:
        rounds = in_rounds(tmp_path_factory.mktemp("rounds"), contacts, clusters, joining, rows)
    except RunError:  # too few different means to be split: a test of its own
        assume(False)
    last = rounds[-1]
    mapping = Mapping.union(list(final_names(last, [last.storage] * last.bins)))
    np.testing.assert_array_equal(mapping.follow(ids), whole.mapping.follow(ids))
    joins = [read_contacts(done.storage, f"joins-{n}") for done in rounds for n in range(done.bins)]
    assert sorted(map(tuple, _rows(Contacts.join(joins)))) == sorted(map(tuple, _rows(whole.joins)))
    vetoes = [read_table(done.storage, f"vetoes-{n}") for done in rounds for n in range(done.bins)]
    found = sorted(
        row for table in vetoes for row in zip(*(table[c].tolist() for c in ("a", "b", "rule")), strict=True)
    )
    assert found == sorted(zip(*(getattr(whole.vetoes, c).tolist() for c in ("a", "b", "rule")), strict=True))


def _rows(contacts: Contacts) -> list[list[int]]:
    return np.stack([contacts.a, contacts.b, contacts.total, contacts.count]).T.tolist()


def chains(length: int, number: int) -> Contacts:
    """Separate chains of nodes, every contact of another mean."""
    a = np.arange(1, length * number)
    a = a[a % length != 0]
    mean = np.random.default_rng(5).permutation(a.size) * 200 // a.size + 50
    return Contacts(a, a + 1, mean * 4, np.full(a.size, 4), a)


def test_bins_are_bounded_and_leave_nothing_out(tmp_path: Path) -> None:
    """No bin holds more contacts than fit, and bins and rest together are the graph."""
    contacts = chains(50, 20)
    ids = np.union1d(contacts.a, contacts.b)
    graph = number_graph(Storage(str(tmp_path)), [{"id": ids}], ids.size, [contacts], SCALE, len(contacts), 120)
    split = split_graph(graph, Joining(0.1, SCALE), 120)
    sizes = [sum(len(piece) for piece in split.group(number)) for number in range(split.bins + 1)]
    assert sum(sizes) == len(contacts)
    assert max(sizes[1:]) <= 120
    assert split.bins > 4


def test_few_bins_take_more_rounds(tmp_path: Path) -> None:
    """What finds no room in a round waits for the next one, and the result is the same."""
    contacts = chains(50, 20)
    ids = np.union1d(contacts.a, contacts.b)
    joining = Joining(0.1, SCALE)
    storages = (Storage(str(tmp_path / str(i))) for i in itertools.count())
    graph = number_graph(next(storages), [{"id": ids}], ids.size, [contacts], SCALE, len(contacts), 120)
    rounds = 0
    while True:
        split = split_graph(graph, joining, 120, most_bins=2)
        assert split.bins <= 2
        for number in range(split.bins):
            agglomerate_bin(split, number, joining, split.storage)
        bins = [split.storage] * split.bins
        rounds += 1
        if split.last:
            break
        graph = gather_round(split, bins, joining, next(storages), 120)
    assert rounds > 2
    whole = agglomerate(contacts, Clusters.empty(), NONE, 0.1, SCALE)
    np.testing.assert_array_equal(Mapping.union(list(final_names(split, bins))).follow(ids), whole.mapping.follow(ids))


def test_a_component_that_cannot_be_split_is_told(tmp_path: Path) -> None:
    """Contacts of one mean that hang together and do not fit: the error names the parameter."""
    a = np.arange(1, 200)
    contacts = Contacts(a, a + 1, np.full(199, 255), np.ones(199, np.int64), a)
    storages = (Storage(str(tmp_path / str(i))) for i in itertools.count())
    graph = number_graph(next(storages), [{"id": np.arange(1, 201)}], 200, [contacts], SCALE, 199, 50)
    with pytest.raises(RunError, match="raise `task_memory`"):
        list(finish_rounds(graph, Joining(0.1, SCALE), 50, storages))


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(0, 150), st.integers(1, 60), st.integers(1, 300))
def test_partitions_hold_what_they_may(
    tmp_path_factory: pytest.TempPathFactory, seed: int, hub: int, contacts: int, most: int, expected: int
) -> None:
    """All pairs once, whatever comes in how many tables; no partition holds more than it may, though one node has most
    contacts and the number expected was wrong; and partitions go by node numbers, where no node has too many."""
    random = np.random.default_rng(seed)
    a = np.where(random.random(contacts) < 0.5, hub, random.integers(1, 100, contacts))
    b = random.integers(100, 400, contacts)
    tables = [
        Contacts(a[part], b[part], np.full(part.size, 200), np.ones(part.size, np.int64), part)
        for part in np.array_split(np.arange(contacts), random.integers(1, 5))
    ]
    graph = store_graph(Storage(str(tmp_path_factory.mktemp("graph"))), tables, SCALE, most, expected, 400)
    found = [graph.partition(number) for number in range(graph.partitions)]
    pairs = sorted(zip(a.tolist(), b.tolist(), strict=True))
    assert sorted(row for part in found for row in zip(part.a.tolist(), part.b.tolist(), strict=True)) == sorted(
        set(pairs)
    )
    assert sum(int(part.count.sum()) for part in found) == contacts
    assert graph.rows == len(set(pairs))
    # A share by hash is not quite even, and a pair that repeats is in one place.
    repeats = max(Counter(pairs).values(), default=0)
    assert all(part.count.sum() <= 2 * most + 20 + repeats for part in found)
    width = -(-400 // min(400, CELLS_EACH * -(-expected // most)))
    cells = [np.unique(part.a // width) for part in found if len(part)]
    for before, after in pairwise(cells):
        assert before[-1] < after[0] or before[-1] == after[0] == before[0] == after[-1]


def test_levels_fall(tmp_path: Path) -> None:
    """Every level holds means above its bound, and none above the bound before it."""
    contacts = random_graph(3, 300, 1500, 255)
    ids = np.union1d(contacts.a, contacts.b)
    graph = number_graph(Storage(str(tmp_path)), [{"id": ids}], ids.size, [contacts], SCALE, len(contacts), 400)
    assert len(graph.bounds) == LEVELS
    means = dict(
        zip(
            zip(contacts.a.tolist(), contacts.b.tolist(), strict=True),
            (contacts.total / contacts.count / SCALE).tolist(),
            strict=True,
        )
    )
    seen = 0
    for level, pieces in enumerate(graph.levels(-2.0)):
        for a, b in pieces:
            for pair in zip(ids[a - 1].tolist(), ids[b - 1].tolist(), strict=True):
                assert means[pair] > graph.bounds[level]
                assert level == 0 or means[pair] <= graph.bounds[level - 1]
                seen += 1
    assert seen == len(contacts)
