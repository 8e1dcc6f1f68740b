"""Agglomerating a graph that does not fit into one task's memory, in rounds of falling thresholds.

Contacts never come to have a higher mean than those they are made of. So all joins above some mean
happen inside the connected components of the contacts above it, and components do not disturb each
other. A round

- *splits*: finds the lowest mean above which every component fits into a task, packs components into
  bins, and sorts the contacts into bins and a rest (`split_graph`);
- agglomerates each bin down to that mean, apart from all others (`agglomerate_bin`);
- *gathers*: the rest under its new names, and what the bins left, are the next round's smaller graph
  (`gather_round`).

The rounds end when nothing is left above the run's threshold. The result is the same as in one piece:
the joins of a bin are those that one piece makes among its clusters.

What there is for each node lies in the table `nodes`, a row for each, and in arrays on disk: neither contacts nor
nodes need fit into memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from abiss_py import Agglomeration, Clusters, Constraint, Contacts, Mapping, Vetoes, agglomerate
from abiss_py.components import components_within, edge_ends, inner_edges, own_numbers, packed
from seuron.errors import RunError
from seuron.pipelines.segmentation.external.graph_on_disk import (
    GraphOnDisk,
    columns_of,
    contacts_of,
    grouped,
    store_graph,
)
from seuron.pipelines.segmentation.table_schemas import (
    clusters_from,
    read_names,
    write_contacts,
    write_names,
    write_vetoes,
)
from seuron.storage import Storage
from seuron.storage.scratch import on_disk
from seuron.storage.tables import Table, count_rows, read_checked, read_group, read_groups, read_rows, write_groups

Int64s = NDArray[np.int64]
Uint32s = NDArray[np.uint32]

Rows = TypeVar("Rows", Contacts, Vetoes)

#: Nodes are numbered in 32 bits.
MOST_NODES = 2**32 - 1
#: A mean that is rounded to float64 is this close to the exact one.
ROUNDING = 1e-15


@dataclass(frozen=True)
class Joining:
    """What decides which contacts are joined: the arguments of `agglomerate` beside its tables."""

    threshold: float
    scale: int
    constraints: Sequence[Constraint] = ()
    class_names: Sequence[str] = ()

    def apply(
        self, contacts: Contacts, clusters: Clusters, open_ids: Int64s | None = None, stop: float | None = None
    ) -> Agglomeration:
        """Agglomerate contacts, as far as that can be done where `open_ids` have others elsewhere."""
        return agglomerate(
            contacts,
            clusters,
            np.zeros(0, np.int64) if open_ids is None else open_ids,
            self.threshold,
            self.scale,
            constraints=self.constraints,
            class_names=self.class_names,
            stop=stop,
        )


@dataclass(frozen=True)
class Split:
    """A round in its folder: the graph sorted into bins, to be agglomerated down to `stop`.

    Group 0 of every table `routed-K` is the rest, group i the contacts of bin i - 1. There are `rows`
    contacts in `pieces` tables. After the `last` round nothing is left to join.
    """

    storage: Storage
    bins: int
    stop: float
    pieces: int
    rows: int
    last: bool

    @property
    def nodes(self) -> int:
        """How many nodes there are, background included."""
        return count_rows(self.storage, "nodes")

    def group(self, number: int) -> Iterator[Contacts]:
        """The contacts of one group, a piece at a time."""
        for piece in range(self.pieces):
            yield contacts_of(read_group(self.storage, f"routed-{piece}", number))

    def save(self) -> None:
        facts = {name: getattr(self, name) for name in ("bins", "stop", "pieces", "rows", "last")}
        self.storage.put("split.json", json.dumps(facts).encode())

    @classmethod
    def open(cls, storage: Storage) -> Split:
        content = read_checked(storage, "split.json")
        if content is None:
            raise RunError(f"{storage.path} holds no split graph; start the run again: it computes what is not there")
        return cls(storage, **json.loads(content))


def number_graph(
    storage: Storage, nodes: Iterable[Table], most: int, tables: Iterable[Contacts], scale: int, rows: int, fit: int
) -> GraphOnDisk:
    """Put contacts between ids on disk as a graph of numbered nodes: the first round's.

    `nodes` has all `id` that the tables name, `most` at most, sorted and unique, in pieces; and the columns that
    rules look at, where there are rules. `rows` is about how many rows the tables have, `fit` how many of them fit
    into memory.
    """
    if most >= MOST_NODES:
        raise RunError(
            f"{most} supervoxels wait at the root; a graph may have up to {MOST_NODES}. Raise `batch_chunks`, so that "
            "fewer have to wait"
        )
    ids = on_disk(most + 1, np.int64)  # 0 is background
    numbered = 1

    def numbered_nodes() -> Iterator[Table]:
        nonlocal numbered
        for number, piece in enumerate(nodes):
            if number == 0:
                yield {name: np.zeros(1, column.dtype) for name, column in _with_names(piece, 0).items()}
            yield _with_names(piece, numbered)
            ids[numbered : numbered + piece["id"].size] = piece["id"]
            numbered += piece["id"].size

    write_groups(storage, "nodes", numbered_nodes())
    known = ids[:numbered]
    between_numbers = (
        replace(table, a=np.searchsorted(known, table.a), b=np.searchsorted(known, table.b)) for table in tables
    )
    return store_graph(storage, between_numbers, scale, max(1, fit // 2), rows, numbered)


def _with_names(nodes: Table, first: int) -> Table:
    """Nodes numbered from `first`, each its own name."""
    names = np.arange(first, first + nodes["id"].size, dtype=np.uint32)
    return {"id": nodes["id"], "name": names} | {name: column for name, column in nodes.items() if name != "id"}


def split_graph(graph: GraphOnDisk, joining: Joining, fit: int, most_bins: int | None = None) -> Split:
    """Sort a graph into bins of at most `fit` contacts, and a rest.

    With `most_bins`, components that find no room stay in the rest, for a later round.
    """
    if graph.rows <= fit:
        for piece in range(graph.partitions):
            rest = columns_of(Contacts.empty())
            write_groups(graph.storage, f"routed-{piece}", [rest, columns_of(graph.partition(piece))], passing=True)
        return _saved(Split(graph.storage, 1, joining.threshold, graph.partitions, graph.rows, last=True))
    levels = list(graph.levels(joining.threshold))
    ends = edge_ends(count_rows(graph.storage, "nodes"), graph.pieces(), on_disk)
    taken, root = components_within(fit, ends, levels, on_disk)
    everything = taken == len(levels)
    stop = joining.threshold if everything else max(joining.threshold, min(1.0, _bound(graph, taken) + ROUNDING))
    bin_of_root, bins, all_binned = packed(inner_edges(root, graph.pieces(), on_disk), fit, most_bins, on_disk)
    for piece in range(graph.partitions):
        contacts = graph.partition(piece)
        component = root[contacts.a]
        bin_of_contact = np.where(component == root[contacts.b], bin_of_root[component], 0).astype(np.int64)
        groups = grouped(contacts, bin_of_contact, bins + 1)
        write_groups(graph.storage, f"routed-{piece}", [columns_of(group) for group in groups], passing=True)
    return _saved(Split(graph.storage, bins, stop, graph.partitions, graph.rows, last=everything and all_binned))


def _bound(graph: GraphOnDisk, taken: int) -> float:
    """The mean above which all contacts are in the first `taken` levels."""
    return graph.bounds[taken - 1] if taken else 1.0


def _saved(split: Split) -> Split:
    split.save()
    return split


def agglomerate_bin(split: Split, number: int, joining: Joining, target: Storage) -> int:
    """Agglomerate bin `number`, from 0, down to the split's stop; returns how many contacts it had.

    Leaves in `target`, for `gather_round`, `names-N` and `residual-N` by numbers; and `joins-N` and
    `vetoes-N` by ids.
    """
    contacts = Contacts.join(list(split.group(number + 1)))
    own = np.union1d(contacts.a, contacts.b)
    stop = None if split.last else split.stop
    nodes = read_rows(split.storage, "nodes", own)
    clusters = clusters_from(nodes | {"id": own}) if joining.constraints else Clusters.empty()
    result = joining.apply(contacts, clusters, stop=stop)
    write_names(target, result.mapping, f"names-{number}")
    write_groups(target, f"residual-{number}", [columns_of(result.contacts)], passing=True)
    to_ids = Mapping(own, nodes["id"])
    write_contacts(target, f"joins-{number}", _renamed(result.joins, to_ids))
    write_vetoes(target, _renamed(result.vetoes, to_ids), f"vetoes-{number}")
    return len(contacts)


def gather_round(split: Split, bins: Sequence[Storage], joining: Joining, target: Storage, fit: int) -> GraphOnDisk:
    """The graph that a round left, in `target`; `bins` says where each bin's tables are."""
    names = round_names(split, bins)
    write_groups(target, "nodes", _renamed_nodes(split, names, joining))

    def tables() -> Iterator[Contacts]:
        for rest in split.group(0):
            yield rest.renamed(names[rest.a].astype(np.int64), names[rest.b].astype(np.int64))
        for number, storage in enumerate(bins):
            yield from (contacts_of(group) for group in read_groups(storage, f"residual-{number}"))

    graph = store_graph(target, tables(), joining.scale, max(1, fit // 2), split.rows, names.size)
    if graph.rows == split.rows:  # nothing was joined and nothing vetoed
        raise RunError(
            f"the {graph.rows} contacts with means above {joining.threshold} do not fall apart into components of at "
            f"most {fit}, which is what fits into a task; raise `task_memory`"
        )
    return graph


def _renamed_nodes(split: Split, names: Uint32s, joining: Joining) -> Iterator[Table]:
    """The nodes under the names that a round gave them; what rules look at is added up, at the name's node."""
    sums: Table = {}
    if joining.constraints:
        for start, group in _node_groups(split):
            for column in set(group) - {"id", "name"}:
                total = sums.setdefault(column, on_disk(names.size, np.int64))
                np.add.at(total, names[start : start + group["id"].size], group[column])
    for start, group in _node_groups(split, "id", "name"):
        added = {column: total[start : start + group["id"].size] for column, total in sums.items()}
        yield {"id": group["id"], "name": names[group["name"]]} | added


def _node_groups(split: Split, *columns: str) -> Iterator[tuple[int, Table]]:
    """The nodes, a row group at a time, each with the number of its first; `columns`, or all."""
    start = 0
    for group in read_groups(split.storage, "nodes", columns or None):
        yield start, group
        start += group["id"].size


def round_names(split: Split, bins: Sequence[Storage]) -> Uint32s:
    """What the number of every node, as it was at the round's start, became in the round; an array on disk."""
    names = own_numbers(split.nodes, on_disk)
    for number, storage in enumerate(bins):
        mapping = read_names(storage, f"names-{number}")
        names[mapping.keys] = mapping.values
    return names


def final_names(split: Split, bins: Sequence[Storage]) -> Iterator[Mapping]:
    """After the last round: the ids that got another name, and that name, in the order of the ids."""
    names, ids = round_names(split, bins), on_disk(split.nodes, np.int64)
    for start, group in _node_groups(split, "id"):
        ids[start : start + group["id"].size] = group["id"]
    for _, group in _node_groups(split, "id", "name"):
        new = ids[names[group["name"]]]
        changed = new != group["id"]
        yield Mapping(group["id"][changed], new[changed])


def finish_rounds(graph: GraphOnDisk, joining: Joining, fit: int, folders: Iterator[Storage]) -> Iterator[Split]:
    """Do rounds, one bin after the other, until nothing is left to join; yields each round when its bins are done.

    `folders` gives an empty folder for each further round's graph. A round's own tables lie in its folder.
    """
    while True:
        split = split_graph(graph, joining, fit)
        for number in range(split.bins):
            agglomerate_bin(split, number, joining, split.storage)
        yield split
        if split.last:
            return
        graph = gather_round(split, [split.storage] * split.bins, joining, next(folders), fit)


def _renamed(rows: Rows, names: Mapping) -> Rows:
    return replace(rows, a=names.follow(rows.a), b=names.follow(rows.b))
