"""`seuron export-graph` and `seuron export-tables`: a finished run's tables, in files and databases of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networkx
import numpy as np
import pytest
import sqlalchemy
from small_runs import make_run, smooth, store
from typer.testing import CliRunner

from seuron.cli.application import app
from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.errors import DataError, ParameterErrors, SeuronError
from seuron.params import parse_parameters
from seuron.pipelines.products.params import ProductsParams
from seuron.pipelines.segmentation.analysis import merge_tree, region_graph
from seuron.storage import Storage
from seuron.storage.databases import write_tables
from seuron.storage.tables import read_table


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A segmentation in several chunks."""
    folder = tmp_path_factory.mktemp("segmentation")
    affinities = store(folder / "affinities", smooth((40, 32, 24), 5))
    return make_run(folder / "run", affinities, None, chunk_size=(24, 24, 24))


@pytest.fixture(scope="module")
def products(small_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The tables of a small segmentation run."""
    given = {"segmentation": small_run.layer("segmentation"), "affinities": small_run.layer("affinities")}
    given["products"] = "segment_table,contacts"
    output = str(tmp_path_factory.mktemp("products") / "run")
    return run_local(parse_parameters(ProductsParams, {**given, "output": output}))


def seuron(*words: Any) -> str:
    found = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


@pytest.mark.parametrize("kind", ["regions", "merges"])
def test_graphs_of_a_segmentation_are_the_same_in_every_format(small_run: Run, tmp_path: Path, kind: str) -> None:
    """Each edge with its mean affinity, read by NetworkX and pyarrow."""
    rows = region_graph(small_run)
    if kind == "merges":
        rows = merge_tree(small_run, small_run.params.agglomeration_threshold).joins
    for ending in ("parquet", "graphml", "json"):
        seuron("export-graph", small_run.output, tmp_path / f"graph.{ending}", "--kind", kind)
    table = read_table(Storage(str(tmp_path)), "graph")
    pairs = set(zip(rows.a.tolist(), rows.b.tolist(), strict=True))
    assert set(zip(table["a"].tolist(), table["b"].tolist(), strict=True)) == pairs
    graphs = [
        networkx.read_graphml(tmp_path / "graph.graphml", node_type=int),
        networkx.node_link_graph(json.loads((tmp_path / "graph.json").read_text()), edges="edges"),
    ]
    for graph in graphs:
        assert graph.number_of_edges() == len(pairs) > 0
        for a, b, mean in zip(table["a"], table["b"], table["mean_affinity"], strict=True):
            assert graph.edges[int(a), int(b)]["mean_affinity"] == mean


def test_contacts_of_a_runs_segments_are_what_its_region_graph_says(products: Run, small_run: Run) -> None:
    """Faces and mean affinities by voxels are those of the supervoxels' contacts, joined: to the last bit."""
    from seuron.pipelines.segmentation.stages.remap import segments_of

    graph = region_graph(small_run)
    found = graph.renamed(segments_of(small_run, graph.a), segments_of(small_run, graph.b))
    table = read_table(products.storage, "contacts")
    np.testing.assert_array_equal(table["a"], found.a.astype(np.uint64))
    np.testing.assert_array_equal(table["b"], found.b.astype(np.uint64))
    np.testing.assert_array_equal(table["faces_x"] + table["faces_y"] + table["faces_z"], found.count)
    np.testing.assert_array_equal(table["mean_affinity"], found.total / found.count / 255)


def test_tables_in_a_database(products: Run, tmp_path: Path) -> None:
    """Every number as in Parquet, by keys; a second time only when that is asked for."""
    url = f"sqlite:///{tmp_path}/first.db"
    seuron("export-tables", products.output, url)
    with sqlalchemy.create_engine(url).connect() as connection:
        for name in ("segments", "contacts"):
            table = read_table(products.storage, name)
            rows = connection.execute(sqlalchemy.text(f"SELECT {', '.join(table)} FROM {name}")).all()
            assert sorted(rows) == sorted(zip(*(column.tolist() for column in table.values()), strict=True))
    with pytest.raises(ParameterErrors, match="already has contacts, segments; add --overwrite"):
        seuron("export-tables", products.output, url)
    assert "segments" in seuron("export-tables", products.output, url, "--overwrite")


def test_what_cannot_be_written_is_said(products: Run, small_run: Run, tmp_path: Path) -> None:
    """A url without a database, without its password in the message; ids too large, and nothing of them is left."""
    for url in ("nonsense", "none://user:secretsecret@host/db"):
        with pytest.raises(ParameterErrors, match="says no database") as caught:
            seuron("export-tables", products.output, url)
        assert "secretsecret" not in str(caught.value)
    with pytest.raises(SeuronError, match="no tables of segments"):
        seuron("export-tables", small_run.output, f"sqlite:///{tmp_path}/first.db")
    with pytest.raises(ParameterErrors, match="a run of the pipeline products has contacts"):
        seuron("export-graph", products.output, tmp_path / "a.json", "--kind", "regions")
    with pytest.raises(ParameterErrors, match=r"end it in \.parquet, \.graphml, \.json"):
        seuron("export-graph", products.output, tmp_path / "a.txt")
    small, large = ({"id": np.array([number], np.uint64)} for number in (1, 2**63))
    with pytest.raises(DataError, match="databases hold whole numbers up to"):
        write_tables(f"sqlite:///{tmp_path}/other.db", {"one": (("id",), [small]), "two": (("id",), [large])})
    assert sqlalchemy.inspect(sqlalchemy.create_engine(f"sqlite:///{tmp_path}/other.db")).get_table_names() == []
