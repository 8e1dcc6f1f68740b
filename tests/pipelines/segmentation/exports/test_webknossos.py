"""A run as a WebKnossos dataset: the agglomerate file, read as the data store of WebKnossos reads it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import wkw
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from small_runs import make_run

from seuron.engine.run import Run
from seuron.errors import ParameterErrors
from seuron.pipelines.segmentation.analysis import region_graph
from seuron.pipelines.segmentation.exports.webknossos import export_webknossos
from seuron.volumes import open_volume

DTYPES = {
    "segment_to_agglomerate": np.uint64,
    "agglomerate_to_segments_offsets": np.uint64,
    "agglomerate_to_segments": np.uint64,
    "agglomerate_to_positions": np.uint64,
    "agglomerate_to_edges_offsets": np.uint64,
    "agglomerate_to_edges": np.uint64,
    "agglomerate_to_affinities": np.float32,
}


@pytest.fixture(scope="module")
def folder(exported_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("webknossos") / "cells"
    export_webknossos(exported_run.output, str(found))
    return found


@pytest.fixture(scope="module")
def arrays(folder: Path) -> dict[str, NDArray[Any]]:
    with h5py.File(folder / "segmentation" / "agglomerates" / "agglomerate_view_0.4.hdf5") as file:
        assert set(file) == set(DTYPES)
        return {name: file[name][:] for name in file}


def _layer(run: Run, name: str) -> NDArray[np.uint64]:
    layer = open_volume(run.layer(name))
    found: NDArray[np.uint64] = layer.read(layer.box)[..., 0]
    return found


@pytest.fixture(scope="module")
def numbers(exported_run: Run, folder: Path) -> NDArray[np.uint32]:
    """The voxels of the wkw layer (X, Y, Z)."""
    box = exported_run.facts.box
    with wkw.Dataset.open(str(folder / "segmentation" / "1")) as dataset:
        found: NDArray[np.uint32] = dataset.read(box.minimum, box.shape)[0]
    return found


def test_the_arrays_are_typed_and_as_long_as_they_must_be(arrays: dict[str, NDArray[Any]]) -> None:
    """There is an agglomerate 0 without segments, and every offset has an end."""
    assert {name: array.dtype for name, array in arrays.items()} == {n: np.dtype(t) for n, t in DTYPES.items()}
    count, last = arrays["segment_to_agglomerate"].size - 1, int(arrays["segment_to_agglomerate"].max())
    for kind, length in (("segments", count), ("edges", arrays["agglomerate_to_edges"].shape[0])):
        offsets = arrays[f"agglomerate_to_{kind}_offsets"]
        assert offsets.size == last + 2
        assert offsets[:2].tolist() == [0, 0]
        assert offsets[-1] == length
    assert arrays["agglomerate_to_positions"].shape == (count, 3)
    assert sorted(arrays["agglomerate_to_segments"].tolist()) == list(range(1, count + 1))


def test_voxels_become_the_runs_segments(
    exported_run: Run, folder: Path, arrays: dict[str, NDArray[Any]], numbers: NDArray[np.uint32]
) -> None:
    """A voxel's supervoxel, looked up, is its segment; the tables say which ids both have in the run."""
    tables = [np.loadtxt(folder / f"{name}.csv", np.uint64, delimiter=",", skiprows=1) for name in
              ("supervoxels", "segments")]  # fmt: skip
    for table in tables:
        np.testing.assert_array_equal(table[:, 0], np.arange(len(table)))
    np.testing.assert_array_equal(tables[0][numbers, 1], _layer(exported_run, "supervoxels"))
    agglomerates = arrays["segment_to_agglomerate"][numbers]
    np.testing.assert_array_equal(tables[1][agglomerates, 1], _layer(exported_run, "segmentation"))


def test_an_agglomerates_graph_is_its_part_of_the_region_graph(
    exported_run: Run, folder: Path, arrays: dict[str, NDArray[Any]], numbers: NDArray[np.uint32]
) -> None:
    """Its segments lie where their positions say, hang together, and their edges have the region graph's means."""
    graph = region_graph(exported_run)
    ids = np.loadtxt(folder / "supervoxels.csv", np.int64, delimiter=",", skiprows=1)[:, 1]
    means = dict(
        zip(zip(graph.a.tolist(), graph.b.tolist(), strict=True), (graph.total / graph.count / 255), strict=True)
    )
    edges_seen = 0
    for agglomerate in range(1, int(arrays["segment_to_agglomerate"].max()) + 1):
        begin, end = arrays["agglomerate_to_segments_offsets"][agglomerate : agglomerate + 2].astype(int)
        segments = arrays["agglomerate_to_segments"][begin:end]
        assert (arrays["segment_to_agglomerate"][segments] == agglomerate).all()
        at = arrays["agglomerate_to_positions"][begin:end].astype(int) - exported_run.facts.box.minimum
        np.testing.assert_array_equal(numbers[tuple(at.T)], segments)
        first, last = arrays["agglomerate_to_edges_offsets"][agglomerate : agglomerate + 2].astype(int)
        edges = arrays["agglomerate_to_edges"][first:last].astype(int)
        pairs = [tuple(sorted(pair)) for pair in ids[segments[edges].astype(int)].tolist()]
        found = arrays["agglomerate_to_affinities"][first:last]
        np.testing.assert_allclose(found, [means[pair] for pair in pairs], rtol=1e-6)
        joined = coo_matrix((np.ones(len(edges)), tuple(edges.T)), shape=(segments.size,) * 2)
        assert connected_components(joined, directed=False)[0] == 1
        edges_seen += len(set(pairs))
    inside = np.searchsorted(ids, [graph.a, graph.b])
    same = arrays["segment_to_agglomerate"][inside[0]] == arrays["segment_to_agglomerate"][inside[1]]
    assert edges_seen == same.sum() > 0


def test_the_dataset_names_its_mapping(exported_run: Run, folder: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """The properties have the dataset's own name, the largest id, and the file where it lies."""
    properties = json.loads((folder / "datasource-properties.json").read_text())
    (layer,) = properties["dataLayers"]
    assert properties["id"]["name"] == "cells"
    assert layer["elementClass"] == "uint32"
    assert layer["largestSegmentId"] == arrays["segment_to_agglomerate"].size - 1
    (attachment,) = layer["attachments"]["agglomerates"]
    assert (folder / attachment["path"]).is_file()
    assert attachment["dataFormat"] == "hdf5"


def test_the_same_bytes_again(exported_run: Run, folder: Path, tmp_path: Path) -> None:
    """Another export of the run writes the same agglomerate file and tables."""
    export_webknossos(exported_run.output, str(tmp_path / "cells"))
    for name in ("segmentation/agglomerates/agglomerate_view_0.4.hdf5", "supervoxels.csv", "segments.csv"):
        assert (tmp_path / "cells" / name).read_bytes() == (folder / name).read_bytes()


def test_a_run_that_is_not_finished_is_refused(exported_run: Run, tmp_path: Path) -> None:
    """With the task that is to be done; and so is a target that is there."""
    copy = tmp_path / "run"
    shutil.copytree(exported_run.output.removeprefix("file://"), copy)
    (copy / "tasks" / "labels-0-0_0_0.json").unlink()
    (tmp_path / "out").mkdir()
    with pytest.raises(ParameterErrors) as error:
        export_webknossos(str(copy), str(tmp_path / "out"))
    assert "is not finished (labels-0-0_0_0 is to be done)" in str(error.value)
    assert "is there already" in str(error.value)


def test_edits_are_in_the_mapping(float_run: Run, tmp_path: Path) -> None:
    """A merge that proofreaders decided joins two agglomerates, and the command says what edges cannot hold."""
    supervoxels, segments = (_layer(float_run, name) for name in ("supervoxels", "segmentation"))
    one, other = (supervoxels[segments == segment][0] for segment in np.unique(segments[segments > 0])[[0, -1]])
    (tmp_path / "edits.json").write_text(json.dumps([{"merge": [int(one), int(other)]}]))
    affinities = float_run.params.affinities
    changes = {"affinity_edges": "forward", "edits": str(tmp_path / "edits.json")}
    run = make_run(tmp_path / "run", affinities, None, **changes)
    notes = export_webknossos(run.output, str(tmp_path / "cells"))
    assert "has no edge" in notes[-1]
    table = np.loadtxt(tmp_path / "cells" / "segments.csv", np.uint64, delimiter=",", skiprows=1)
    np.testing.assert_array_equal(table[:, 1], np.unique(np.append(_layer(run, "segmentation"), np.uint64(0))))
    assert len(table) == np.unique(segments[segments > 0]).size
