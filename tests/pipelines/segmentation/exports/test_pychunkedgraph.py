"""What PyChunkedGraph ingests, read back by its public format: the graph of the run, cut at the borders of chunks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chunk_files import FileEdges, place_of, read_components, read_edges
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from seuron.box import Box
from seuron.engine.run import Run
from seuron.errors import ParameterErrors
from seuron.pipelines.segmentation.analysis import region_graph
from seuron.pipelines.segmentation.exports import chunk_edges, pychunkedgraph
from seuron.pipelines.segmentation.exports.chunk_ids import ChunkIds
from seuron.pipelines.segmentation.exports.pychunkedgraph import export_pychunkedgraph
from seuron.volumes import open_volume

CHUNK = (16, 32, 16)
SAMPLE = Path(__file__).parents[5] / "shared" / "data" / "pcg" / "pychunkedgraph_multicut_example.npz"


class Exported:
    """An export, read back: pieces (X, Y, Z) with what they were, and the files of all chunks, by place."""

    def __init__(self, run: Run, path: Path) -> None:
        layer = open_volume(f"file://{path}/watershed")
        assert layer.box == run.facts.box
        assert layer.dtype == np.uint64
        pieces = layer.read(layer.box)[..., 0]
        names = [open_volume(run.layer(name)).read(layer.box)[..., 0] for name in ("supervoxels", "segmentation")]
        assert np.array_equal(pieces == 0, names[0] == 0)
        self.pieces = pieces
        self.ids, first = np.unique(pieces[pieces > 0], return_index=True)
        self.supervoxels, self.segments = (array[pieces > 0][first] for array in names)
        self.edges = {_place(file): read_edges(file) for file in (path / "edges").iterdir()}
        self.components = {_place(file): read_components(file) for file in (path / "components").iterdir()}

    def supervoxel(self, ids: NDArray[Any]) -> NDArray[Any]:
        return self.supervoxels[np.searchsorted(self.ids, ids)]

    def segment(self, ids: NDArray[Any]) -> NDArray[Any]:
        return self.segments[np.searchsorted(self.ids, ids)]

    def all_of(self, kind: str) -> FileEdges:
        """The edges of one kind in all files."""
        return FileEdges(*map(np.concatenate, zip(*(found[kind] for found in self.edges.values()), strict=True)))


def _place(file: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in file.name.split(".")[0].split("_")[1:])


def _bytes(folder: Path) -> dict[str, bytes]:
    """All files but the configuration, which names the folder."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and file.name != "config.yml")
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def folder(exported_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("graph") / "out"
    export_pychunkedgraph(exported_run.output, str(found), chunk_size=CHUNK)
    return found


@pytest.fixture(scope="module")
def exported(exported_run: Run, folder: Path) -> Exported:
    return Exported(exported_run, folder)


def test_a_piece_is_what_a_chunk_has_of_a_supervoxel(exported_run: Run, exported: Exported) -> None:
    """An id holds layer 1 and the place of the chunk it lies in; ids of a chunk are numbers from 1 on."""
    at = np.argwhere(exported.pieces > 0)
    ids = exported.pieces[tuple(at.T)]
    expected = np.concatenate([np.ones((ids.size, 1), np.int64), at // CHUNK], axis=1)
    np.testing.assert_array_equal(place_of(ids), expected)
    pairs = np.unique(np.stack([np.repeat(0, exported.ids.size), exported.supervoxels]), axis=1)
    assert pairs.shape[1] < exported.ids.size, "no supervoxel is cut"
    both = np.stack([exported.supervoxels, exported.ids >> np.uint64(26)])
    assert np.unique(both, axis=1).shape[1] == exported.ids.size
    for chunk in np.unique(exported.ids >> np.uint64(26)):
        numbers = exported.ids[exported.ids >> np.uint64(26) == chunk] & np.uint64(2**26 - 1)
        np.testing.assert_array_equal(numbers, np.arange(1, 1 + numbers.size))


def _pooled(run: Run, exported: Exported) -> dict[tuple[int, int], tuple[int, float]]:
    """Area and sum of affinities of each two supervoxels, of the edges of all chunks, each edge once."""
    inside, between = exported.all_of("in_chunk"), exported.all_of("between_chunk")
    once: tuple[Any, ...] = tuple(column[between.ids1 < between.ids2] for column in between)
    found: dict[tuple[int, int], tuple[int, float]] = {}
    for edges in (inside, FileEdges(*once)):
        a, b = exported.supervoxel(edges.ids1), exported.supervoxel(edges.ids2)
        low, high = np.minimum(a, b).tolist(), np.maximum(a, b).tolist()
        for one, other, total, area in zip(low, high, edges.affinities.tolist(), edges.areas.tolist(), strict=True):
            before = found.get((one, other), (0, 0.0))
            found[one, other] = (before[0] + area, before[1] + total)
    return found


def test_edges_add_up_to_the_region_graph(exported_run: Run, exported: Exported) -> None:
    """Areas are the region graph's counts exactly, sums of affinities as far as float32 holds them."""
    graph, pooled = region_graph(exported_run), _pooled(exported_run, exported)
    pairs = list(zip(graph.a.tolist(), graph.b.tolist(), strict=True))
    assert set(pairs) == set(pooled)
    assert [pooled[pair][0] for pair in pairs] == graph.count.tolist()
    np.testing.assert_allclose([pooled[pair][1] for pair in pairs], graph.total / 255, rtol=1e-6)


def test_float_affinities_add_up_as_well(float_run: Run, tmp_path: Path) -> None:
    """Whatever the type of the affinities, and whichever voxel they stand at."""
    export_pychunkedgraph(float_run.output, str(tmp_path / "out"), chunk_size=(16, 16, 16))
    graph, pooled = region_graph(float_run), _pooled(float_run, Exported(float_run, tmp_path / "out"))
    sums = [pooled[pair] for pair in zip(graph.a.tolist(), graph.b.tolist(), strict=True)]
    assert len(pooled) == len(sums)
    assert [area for area, _ in sums] == graph.count.tolist()
    np.testing.assert_allclose([total for _, total in sums], graph.total / 2**24, rtol=1e-5)


def test_both_chunks_have_the_edges_between_them(exported: Exported) -> None:
    """With the file's own piece first, the same sums, and a chunk beside it; cut supervoxels are infinitely strong."""
    for kind in ("between_chunk", "cross_chunk"):
        rows = set[tuple[float, ...]]()
        for place, found in exported.edges.items():
            edges = found[kind]
            if not edges.ids1.size:
                continue
            own, other = place_of(edges.ids1)[:, 1:], place_of(edges.ids2)[:, 1:]
            assert (own == place).all()
            assert (np.abs(own - other).sum(axis=1) == 1).all()
            rows |= set(zip(*(column.tolist() for column in edges), strict=True))
        assert rows
        assert rows == {(b, a, *rest) for a, b, *rest in rows}
    cut = exported.all_of("cross_chunk")
    np.testing.assert_array_equal(exported.supervoxel(cut.ids1), exported.supervoxel(cut.ids2))
    assert np.isinf(cut.affinities).all()
    assert (cut.areas == 1).all()
    inside = exported.all_of("in_chunk")
    assert (place_of(inside.ids1) == place_of(inside.ids2)).all()


def test_the_ingested_graph_has_the_segments(exported: Exported) -> None:
    """Edges whose ends one component holds, and the cut ones, join pieces to exactly the run's segments."""
    ones, others = [], []
    for place, found in exported.edges.items():
        mapping = {piece: n for n, pieces in enumerate(exported.components[place]) for piece in pieces}
        for kind, edges in found.items():
            for one, other in zip(edges.ids1.tolist(), edges.ids2.tolist(), strict=True):
                if kind == "cross_chunk" or mapping[one] == mapping[other]:
                    ones.append(one)
                    others.append(other)
    at = np.searchsorted(exported.ids, np.array([ones, others], np.uint64))
    graph = coo_matrix((np.ones(at.shape[1]), tuple(at)), shape=(exported.ids.size,) * 2)
    count, joined = connected_components(graph, directed=False)
    together = np.unique(np.stack([joined, exported.segments]), axis=1)
    assert together.shape[1] == count == np.unique(exported.segments).size


def test_components_are_the_segments_of_a_chunk(exported: Exported) -> None:
    """Each component is one segment's pieces, and every piece of the chunk is in one."""
    for place, components in exported.components.items():
        for pieces in components:
            assert np.unique(exported.segment(np.array(pieces, np.uint64))).size == 1
        held = np.array(sorted(piece for pieces in components for piece in pieces), np.uint64)
        own = exported.ids[(place_of(exported.ids)[:, 1:] == place).all(axis=1)]
        assert np.isin(own, held).all()
        assert np.unique(held).size == held.size


def test_order_and_slabs_change_no_byte(
    exported_run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks in the opposite order, and taken a block's thickness at a time, give the same files."""

    @contextmanager
    def backwards(workers: int) -> Iterator[Any]:
        yield lambda calls: [step(*arguments) for step, arguments in reversed(list(calls))]

    monkeypatch.setattr(pychunkedgraph, "_calls", backwards)
    export_pychunkedgraph(exported_run.output, str(tmp_path / "backwards"), chunk_size=CHUNK)
    assert _bytes(tmp_path / "backwards") == _bytes(folder)
    export_pychunkedgraph(exported_run.output, str(tmp_path / "thick"), chunk_size=(48, 48, 32))
    monkeypatch.setattr(chunk_edges, "SLAB_VOXELS", 1)
    export_pychunkedgraph(exported_run.output, str(tmp_path / "thin"), chunk_size=(48, 48, 32))
    assert _bytes(tmp_path / "thin") == _bytes(tmp_path / "thick")


@pytest.mark.long
def test_workers_change_no_byte(exported_run: Run, folder: Path, tmp_path: Path) -> None:
    """Two processes write the same files as one."""
    export_pychunkedgraph(exported_run.output, str(tmp_path / "two"), chunk_size=CHUNK, workers=2)
    assert _bytes(tmp_path / "two") == _bytes(folder)


def test_the_configuration_names_what_was_written(folder: Path) -> None:
    """The chunk size and the bits of ids are those that the ingest needs, and its folders are there."""
    config = json.loads((folder / "config.yml").read_text())
    assert config["graph_config"] == {"CHUNK_SIZE": list(CHUNK), "FANOUT": 2, "LAYER_ID_BITS": 8, "SPATIAL_BITS": 10}
    assert all(Path(path.removeprefix("file://")).is_dir() for path in config["data_source"].values())


def test_what_is_in_the_way_is_said_at_once(exported_run: Run, folder: Path, tmp_path: Path) -> None:
    """Nothing is written over without being asked to, and chunks are whole blocks."""
    with pytest.raises(ParameterErrors, match="is there already; give another path, or --overwrite"):
        export_pychunkedgraph(exported_run.output, str(folder))
    with pytest.raises(ParameterErrors, match="--chunk-size: got 10, 16, 16; give multiples of the run's block_size"):
        export_pychunkedgraph(exported_run.output, str(tmp_path / "out"), chunk_size=(10, 16, 16))
    assert not list(tmp_path.iterdir())


def test_more_chunks_take_more_bits() -> None:
    """A grid of more than 1024 chunks along an axis has the bits that its last place needs."""
    ids = ChunkIds.of(Box((0, 0, 0), (1025, 8, 8)), (1, 8, 8))
    assert ids.spatial_bits == 11
    assert ids.place_of(ids.chunk_id((1024, 0, 0))) == (1024, 0, 0)
    np.testing.assert_array_equal(place_of(np.array([ids.chunk_id((1024, 0, 0))]), 11), [[1, 1024, 0, 0]])


def test_ids_of_a_real_graph_are_read_as_ours() -> None:
    """Of 28,092 edges of a graph in use: layer 1, ends in one chunk or in two side by side, cut ones infinite."""
    if not SAMPLE.exists():
        pytest.skip(f"{SAMPLE} is not there")
    sample = np.load(SAMPLE)
    one, other = (place_of(sample["sv_edges"][:, end]) for end in (0, 1))
    assert (one[:, 0] == 1).all()
    assert (other[:, 0] == 1).all()
    steps = np.abs(one - other).sum(axis=1)
    cut = np.isinf(sample["sv_affinity"])
    assert steps.max() == 1
    assert cut.sum() == 960
    assert (steps[cut] == 1).all()
    means = (sample["sv_affinity"] / np.maximum(sample["sv_area"], 1))[~cut & (sample["sv_area"] > 100)]
    assert np.abs(means - 1).max() < 0.1, "affinities are sums over the area"
