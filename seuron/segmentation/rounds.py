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
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from abiss_py import Agglomeration, Clusters, Constraint, Contacts, Mapping, Vetoes, agglomerate
from abiss_py.components import components_within, edge_ends, inner_edges, packed
from seuron.errors import RunError
from seuron.segmentation.columns import (
    clusters_from,
    read_clusters,
    read_names,
    write_clusters,
    write_contacts,
    write_names,
    write_vetoes,
)
from seuron.segmentation.graph_on_disk import GraphOnDisk, columns_of, contacts_of, grouped, store_graph
from seuron.storage import Storage
from seuron.tables import count_rows, read_group, read_groups, read_table, write_groups, write_table

Int64s = NDArray[np.int64]
Uint32s = NDArray[np.uint32]

Rows = TypeVar("Rows", Contacts, Vetoes)

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

    def read_nodes(self) -> tuple[Int64s, Uint32s]:
        """The id of every node, and the number that its cluster goes by since the rounds before.

        Entry 0 is background. They are as long as the graph has nodes, so nobody keeps them.
        """
        table = read_table(self.storage, "nodes")
        return table["id"], table["name"]

    def ids_of(self, numbers: Int64s) -> Int64s:
        """The ids of some nodes, whose numbers are sorted; the table is read a row group at a time."""
        found, start = [np.zeros(0, np.int64)], 0
        for group in read_groups(self.storage, "nodes", ("id",)):
            end = start + group["id"].size
            first, last = np.searchsorted(numbers, [start, end])
            found.append(group["id"][numbers[first:last] - start])
            start = end
        return np.concatenate(found)

    def group(self, number: int) -> Iterator[Contacts]:
        """The contacts of one group, a piece at a time."""
        for piece in range(self.pieces):
            yield contacts_of(read_group(self.storage, f"routed-{piece}", number))

    def save(self) -> None:
        facts = {name: getattr(self, name) for name in ("bins", "stop", "pieces", "rows", "last")}
        self.storage.put("split.json", json.dumps(facts).encode())

    @classmethod
    def open(cls, storage: Storage) -> Split:
        content = storage.get("split.json")
        if content is None:
            raise RunError(f"{storage.path} holds no split graph; start the run again: it computes what is not there")
        return cls(storage, **json.loads(content))


def number_graph(
    storage: Storage, ids: Int64s, tables: Iterable[Contacts], clusters: Clusters, scale: int, rows: int, task_rows: int
) -> GraphOnDisk:
    """Put contacts between ids on disk as a graph of numbered nodes: the first round's.

    `ids`, sorted and unique, are all that the tables name; `rows` is about how many rows these have,
    `task_rows` how many fit into memory.
    """
    numbers = np.insert(ids, 0, 0)
    write_table(storage, "nodes", {"id": numbers, "name": np.arange(numbers.size, dtype=np.uint32)})
    write_clusters(storage, replace(clusters, ids=np.searchsorted(numbers, clusters.ids)))
    numbered = (
        replace(table, a=np.searchsorted(numbers, table.a), b=np.searchsorted(numbers, table.b)) for table in tables
    )
    return store_graph(storage, numbered, scale, max(1, task_rows // 2), rows)


def split_graph(graph: GraphOnDisk, joining: Joining, task_rows: int, most_bins: int | None = None) -> Split:
    """Sort a graph into bins of at most `task_rows` contacts, and a rest.

    With `most_bins`, components that find no room stay in the rest, for a later round.
    """
    if graph.rows <= task_rows:
        for piece in range(graph.partitions):
            rest = columns_of(Contacts.empty())
            write_groups(graph.storage, f"routed-{piece}", [rest, columns_of(graph.partition(piece))], passing=True)
        return _saved(Split(graph.storage, 1, joining.threshold, graph.partitions, graph.rows, last=True))
    levels = list(graph.levels(joining.threshold))
    ends = edge_ends(count_rows(graph.storage, "nodes"), graph.pieces())
    taken, root = components_within(task_rows, ends, levels)
    del ends  # as long as there are nodes
    everything = taken == len(levels)
    stop = joining.threshold if everything else max(joining.threshold, min(1.0, _bound(graph, taken) + ROUNDING))
    bin_of_root, bins, all_binned = packed(inner_edges(root, graph.pieces()), task_rows, most_bins)
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
    result = joining.apply(contacts, _clusters_of(split, own), stop=stop)
    write_names(target, result.mapping, f"names-{number}")
    write_groups(target, f"residual-{number}", [columns_of(result.contacts)], passing=True)
    to_ids = Mapping(own, split.ids_of(own))
    write_contacts(target, f"joins-{number}", _renamed(result.joins, to_ids))
    write_vetoes(target, _renamed(result.vetoes, to_ids), f"vetoes-{number}")
    return len(contacts)


def _clusters_of(split: Split, own: Int64s) -> Clusters:
    """The rows of some nodes' clusters; the table is read a row group at a time."""
    groups = map(clusters_from, read_groups(split.storage, "clusters"))
    return Clusters.join([group.take(np.isin(group.ids, own)) for group in groups])


def gather_round(
    split: Split, bins: Sequence[Storage], joining: Joining, target: Storage, task_rows: int
) -> GraphOnDisk:
    """The graph that a round left, in `target`; `bins` says where each bin's tables are."""
    names = round_names(split, bins)
    clusters = read_clusters(split.storage).renamed(_as_mapping(names)) if joining.constraints else Clusters.empty()
    write_clusters(target, clusters)
    del clusters
    ids, since_before = split.read_nodes()
    write_table(target, "nodes", {"id": ids, "name": names[since_before]})
    del ids, since_before

    def tables() -> Iterator[Contacts]:
        for rest in split.group(0):
            yield rest.renamed(names[rest.a].astype(np.int64), names[rest.b].astype(np.int64))
        for number, storage in enumerate(bins):
            yield from (contacts_of(group) for group in read_groups(storage, f"residual-{number}"))

    graph = store_graph(target, tables(), joining.scale, max(1, task_rows // 2), split.rows)
    if graph.rows == split.rows:  # nothing was joined and nothing vetoed
        raise RunError(
            f"the {graph.rows} contacts with means above {joining.threshold} do not fall apart into components of at "
            f"most {task_rows}, which is what fits into a task; raise `task_memory`"
        )
    return graph


def round_names(split: Split, bins: Sequence[Storage]) -> Uint32s:
    """What the number of every node, as it was at the round's start, became in the round."""
    names = np.arange(split.nodes, dtype=np.uint32)
    for number, storage in enumerate(bins):
        mapping = read_names(storage, f"names-{number}")
        names[mapping.keys] = mapping.values
    return names


def _as_mapping(names: Uint32s) -> Mapping:
    changed = np.flatnonzero(names != np.arange(names.size))
    return Mapping(changed, names[changed].astype(np.int64))


def final_mapping(split: Split, bins: Sequence[Storage]) -> Mapping:
    """After the last round: the ids that got another name, and that name."""
    ids, since_before = split.read_nodes()
    names = ids[round_names(split, bins)[since_before]]
    changed = names != ids
    return Mapping(ids[changed], names[changed])


def finish_rounds(graph: GraphOnDisk, joining: Joining, task_rows: int, folders: Iterator[Storage]) -> Iterator[Split]:
    """Do rounds, one bin after the other, until nothing is left to join; yields each round when its bins are done.

    `folders` gives an empty folder for each further round's graph. A round's own tables lie in its folder.
    """
    while True:
        split = split_graph(graph, joining, task_rows)
        for number in range(split.bins):
            agglomerate_bin(split, number, joining, split.storage)
        yield split
        if split.last:
            return
        graph = gather_round(split, [split.storage] * split.bins, joining, next(folders), task_rows)


def _renamed(rows: Rows, names: Mapping) -> Rows:
    return replace(rows, a=names.follow(rows.a), b=names.follow(rows.b))
