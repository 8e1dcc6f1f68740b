"""Graphs in files: a table of edges as Parquet, GraphML, or the JSON that NetworkX reads; and as a NetworkX graph."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from seuron.errors import ParameterErrors
from seuron.storage import Storage

if TYPE_CHECKING:
    import networkx

    from seuron.storage.tables import Table

#: The formats by the ends of names: of JSON, that of `networkx.node_link_graph`.
FORMATS = (".parquet", ".graphml", ".json")
#: Edges at most of a graph that NetworkX holds, at some kilobyte each; Parquet has no such limit.
MOST_EDGES = 5_000_000


def edge_graph(edges: Table) -> networkx.Graph[int]:
    """The graph of edges from `a` to `b`, whose other columns become attributes of each edge."""
    import networkx

    names = [name for name in edges if name not in ("a", "b")]
    graph: networkx.Graph[int] = networkx.Graph()
    columns = [edges[name].tolist() for name in ("a", "b", *names)]
    graph.add_edges_from((a, b, dict(zip(names, values, strict=True))) for a, b, *values in zip(*columns, strict=True))
    return graph


def write_graph(edges: Table, path: str) -> None:
    """Write a graph in the format that the name at `path` ends in; raises ParameterErrors for any other end.

    The same edges give the same bytes. In GraphML and JSON nodes are ids as they are.
    """
    folder, _, name = path.rpartition("/")
    ending = next((ending for ending in FORMATS if name.endswith(ending)), None)
    if ending is None:
        raise ParameterErrors([f"the name {name!r} says no format; end it in {', '.join(FORMATS)}"])
    storage = Storage(folder or ".")
    if ending == ".parquet":
        from seuron.storage.tables import write_table

        write_table(storage, name.removesuffix(ending), edges)
        return
    if edges["a"].size > MOST_EDGES:
        raise ParameterErrors(
            [f"{edges['a'].size} edges are too many for {ending}, at most {MOST_EDGES}; use .parquet"]
        )
    import networkx

    graph = edge_graph(edges)
    if ending == ".json":
        content = json.dumps(networkx.node_link_data(graph, edges="edges")).encode()
    else:
        content = "\n".join(networkx.generate_graphml(graph, named_key_ids=True)).encode()
    storage.put(name, content)
