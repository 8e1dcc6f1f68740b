"""The proofreading queue: what it asks, in which order, and that chunks do not matter."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import make_run, smooth, store

from abiss_py import Clusters, Contacts, MergeTree, agglomerate
from seuron.engine.run import Run
from seuron.pipelines.segmentation.analysis import Supervoxels, region_graph
from seuron.pipelines.segmentation.proofreading.queue import Evidence, Queue, proofreading_queue, queue_of
from seuron.pipelines.segmentation.proofreading.queue_files import queue_columns, write_queue
from seuron.storage.tables import read_table

SHAPE = (24, 24, 20)
SCALE, THRESHOLD = 255, 0.5
RULES = [{"rule": "size", "name": "small", "smaller_over": 60, "sum_over": 200}]


def evidence(means: dict[tuple[int, int], int], voxels: dict[int, int], at_faces: list[int] | None = None) -> Evidence:
    """Contacts of one voxel edge each, agglomerated."""
    rows = sorted(means.items())
    a, b = (np.array([pair[side] for pair, _ in rows], np.int64) for side in (0, 1))
    numbers = np.arange(len(rows), dtype=np.int64)
    graph = Contacts(a, b, np.array([mean for _, mean in rows], np.int64), np.ones_like(numbers), numbers)
    joins = agglomerate(graph, Clusters.empty(), np.zeros(0, np.int64), THRESHOLD, SCALE).joins
    ids = np.array([0, *sorted(voxels)], np.int64)
    sizes = Supervoxels(ids, np.array([5, *(voxels[i] for i in sorted(voxels))], np.int64))
    faces = None if at_faces is None else np.array(at_faces, np.int64)
    return Evidence(graph, MergeTree.of(joins, SCALE, THRESHOLD), THRESHOLD, sizes, at_faces=faces)


def rows_of(queue: Queue) -> list[tuple[str, int, int, int, int]]:
    columns = (queue.kind, queue.a, queue.b, queue.voxels_a, queue.voxels_b)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_close_decisions_between_large_pieces_come_first() -> None:
    """A thin bridge of two large pieces before a sure join, before a small piece that was left; sizes are those of
    what falls apart."""
    found = evidence({(1, 2): 250, (2, 3): 130, (3, 4): 240, (4, 5): 120}, {1: 100, 2: 100, 3: 100, 4: 100, 5: 3})
    queue = queue_of(found)
    assert rows_of(queue)[0] == ("join", 2, 3, 200, 200)
    assert sorted(rows_of(queue))[0] == ("contact", 4, 5, 400, 3)
    assert np.all(np.diff(queue.expected_bits) <= 0)
    assert 0.45 < queue.chance[0] < 0.5


def test_an_orphan_is_asked_about_before_what_leaves_the_box() -> None:
    """A segment that touches no face shares the odds among its contacts; one that does keeps those of its mean."""
    means, voxels = {(1, 2): 20, (3, 4): 20}, {1: 100, 2: 100, 3: 100, 4: 100}
    plain, found = queue_of(evidence(means, voxels)), queue_of(evidence(means, voxels, at_faces=[1, 2, 4]))
    assert plain.kind.tolist() == ["contact", "contact"]
    assert [row[:3] for row in rows_of(found)] == [("orphan", 3, 4), ("contact", 1, 2)]
    assert (found.chance[0], found.chance[1]) == (1, plain.chance[0])


@given(st.dictionaries(st.tuples(st.integers(1, 9), st.integers(10, 16)), st.integers(1, 255), max_size=20), st.data())
def test_pieces_are_what_falls_apart(means: dict[tuple[int, int], int], data: st.DataObject) -> None:
    """Of a join, the two sides of the tree of joins without it; of a contact, whole segments."""
    voxels = {i: data.draw(st.integers(1, 99)) for i in range(1, 17)}
    queue = queue_of(evidence(means, voxels))
    joined = queue.kind == "join"
    tree = nx.Graph()
    tree.add_nodes_from(voxels)
    tree.add_edges_from(zip(queue.a[joined].tolist(), queue.b[joined].tolist(), strict=True))
    for kind, a, b, size_a, size_b in rows_of(queue):
        without = tree.copy()
        if kind == "join":
            without.remove_edge(a, b)
        sides = (nx.node_connected_component(without, side) for side in (a, b))
        assert [sum(voxels[i] for i in side) for side in sides] in ([size_a, size_b], [size_b, size_a])


@pytest.fixture(scope="module")
def affinities(tmp_path_factory: pytest.TempPathFactory) -> str:
    return store(tmp_path_factory.mktemp("source") / "affinities", smooth(SHAPE, 2))


@pytest.fixture(scope="module")
def whole(affinities: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with a rule, in one chunk. Tests do not change it."""
    return make_run(tmp_path_factory.mktemp("whole"), affinities, None, constraints=RULES)


def test_the_queue_does_not_depend_on_chunks(whole: Run, affinities: str, tmp_path: Path) -> None:
    """Every decision, in the same order with the same figures; each contact and each join is asked about once."""
    cut = make_run(tmp_path / "cut", affinities, None, constraints=RULES, chunk_size=(12, 12, 12), batch_chunks=1)
    one, other = (queue_columns(run, proofreading_queue(run, 10**6)) for run in (whole, cut))
    veto = one["kind"] == "veto"  # clusters have the names of the moment, which is the same; all columns are compared
    assert veto.any()
    assert all(np.array_equal(one[name], other[name]) for name in one)
    asked = proofreading_queue(whole, 10**6)
    graph = region_graph(whole)
    assert np.isin(asked.first, graph.first).all()
    pairs = set(zip(asked.kind.tolist(), asked.first.tolist(), strict=True))
    assert len(pairs) == len(asked)


def test_tables_hold_the_queue(whole: Run) -> None:
    """Parquet and CSV have the same rows; the verdict is empty, a veto names its rule, links are where they belong."""
    queue = proofreading_queue(whole, 50)
    path = write_queue(whole, queue, [f"http://here/{i}" for i in range(len(queue))])
    table = read_table(whole.storage, "proofreading/queue")
    assert len(table["a"]) == len(queue) == 50
    assert set(table["rule"][table["kind"] == "veto"].tolist()) <= {"small"}
    lines = Path(path.removeprefix("file://")).read_text().splitlines()
    assert len(lines) == 51
    assert lines[1].startswith("1,,")
    assert lines[50].endswith(",http://here/49")
