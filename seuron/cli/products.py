"""Commands that hand a finished run's tables on: `export-graph` and `export-tables`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from seuron.cli.output import echo

if TYPE_CHECKING:
    from seuron.engine.run import Run
    from seuron.storage.tables import Table

RunFolder = Annotated[str, typer.Argument(metavar="RUN", help="the folder of a run, or its address in a bucket")]
#: Kinds of graphs by the pipeline whose runs have them, and the tables of products with the columns of their keys.
GRAPHS = {"segmentation": ("regions", "merges"), "products": ("contacts",)}
TABLES = {"segments": ("id",), "contacts": ("a", "b")}


def export_graph(
    run: RunFolder,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="file to write: .parquet, .graphml or .json")],
    kind: Annotated[
        str | None, typer.Option(help="regions or merges of a segmentation, contacts of products; else the first")
    ] = None,
) -> None:
    """Write the graph of a finished run: contacts of supervoxels, the merge tree, or contacts of segments.

    Nodes are ids, and edges have what the tables say of them. NetworkX reads the JSON by `node_link_graph`.
    """
    from seuron.commands.argument_types import absolute
    from seuron.engine.run import Run
    from seuron.errors import ParameterErrors
    from seuron.storage.graph_files import write_graph

    found = Run.open(absolute(run))
    kinds = GRAPHS.get(found.pipeline.name, ())
    chosen = kind or next(iter(kinds), None)
    if chosen not in kinds:
        allowed = f"has {' and '.join(kinds)}" if kinds else "has none"
        raise ParameterErrors([f"--kind: got {kind!r}; a run of the pipeline {found.pipeline.name} {allowed}"])
    edges = _edges(found, chosen)
    write_graph(edges, absolute(target))
    echo(f"{absolute(target)}: {chosen}, {edges['a'].size} edges")


def export_tables(
    run: RunFolder,
    url: Annotated[str, typer.Argument(metavar="URL", help="database, such as sqlite:////data/first.db")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace tables that are there")] = False,
) -> None:
    """Write the tables of a finished run of products into a database: `segments` and `contacts`, all or none."""
    from seuron.commands.argument_types import absolute
    from seuron.engine.run import Run
    from seuron.errors import NotFoundError
    from seuron.storage.databases import write_tables
    from seuron.storage.tables import read_pieces

    found = Run.open(absolute(run))
    names = [name for name in TABLES if found.storage.get(f"{name}.parquet") is not None]
    if found.pipeline.name != "products" or not names:
        raise NotFoundError(f"{found.output} has no tables of segments or contacts; give a finished run of `products`")
    rows = write_tables(
        url, {name: (TABLES[name], read_pieces(found.storage, name)) for name in names}, overwrite=overwrite
    )
    echo("\n".join(f"{name:<10} {count} rows" for name, count in rows.items()))


def _edges(run: Run, kind: str) -> Table:
    """The edges of a graph: columns `a` and `b`, and what is known of each."""
    from seuron.pipelines.segmentation.analysis import merge_tree, region_graph
    from seuron.pipelines.segmentation.facts import affinity_dtype
    from seuron.storage.tables import read_table

    if kind == "contacts":
        return read_table(run.storage, "contacts")
    from abiss_py import affinity_type

    lowest = run.params.agglomeration_threshold
    rows = region_graph(run) if kind == "regions" else merge_tree(run, lowest).joins
    scale = affinity_type(affinity_dtype(run.params, run.facts)).scale
    means = rows.total / rows.count / scale
    return {"a": rows.a, "b": rows.b, "edges": rows.count, "mean_affinity": means, "first_edge": rows.first}
