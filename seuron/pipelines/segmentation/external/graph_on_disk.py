"""A region graph that does not fit into memory: contacts in partitions on disk, pooled by pair.

Nodes are numbered from 1 in the order of their ids, so that the smallest number of a cluster is its
smallest id; 0 is background, which has no contacts. A partition holds the contacts whose smaller end is in a range of
numbers, so what there is for nodes is looked at a part at a time as well; where a range has more contacts than a
partition may hold, it has several. Either way a contact's partition follows from its pair alone: rows of one pair
meet there and are pooled. Each partition is a table `contacts-K` whose row groups are *levels*: contacts by falling
mean.

One partition at a time is in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from abiss_py import Contacts
from abiss_py.components import Pairs
from seuron.storage import Storage
from seuron.storage.tables import Table, read_group, read_groups, write_groups

Int64s = NDArray[np.int64]

#: Levels are bounded by quantiles of the means of a sample, so that each holds about as many contacts.
LEVELS = 48
SAMPLE = 200_000
#: Cells, equal ranges of node numbers, that there are for each partition: whole cells make up most partitions.
CELLS_EACH = 8


@dataclass(frozen=True)
class GraphOnDisk:
    """Contacts in `storage`: `rows` of them, in `partitions`, by falling levels of the mean.

    Means, rounded to float64, are in level i when they are above `bounds[i]` and not above the bound
    before it. An affinity of 1 is 1.
    """

    storage: Storage
    rows: int
    partitions: int
    bounds: tuple[float, ...]

    def pieces(self) -> Iterator[Pairs]:
        """Both ends of all contacts, a piece at a time."""
        for partition in range(self.partitions):
            for group in read_groups(self.storage, f"contacts-{partition}", ("a", "b")):
                yield group["a"], group["b"]

    def levels(self, above: float) -> Iterator[Iterator[Pairs]]:
        """Both ends of the contacts, by levels, as many as it takes to have all means above `above`."""
        for level in range(LEVELS):
            yield self._level(level)
            if self.bounds[level] < above:
                return

    def _level(self, level: int) -> Iterator[Pairs]:
        for partition in range(self.partitions):
            group = read_group(self.storage, f"contacts-{partition}", level)
            yield group["a"], group["b"]

    def partition(self, number: int) -> Contacts:
        """The contacts of a partition, between numbers."""
        return Contacts.join([contacts_of(group) for group in read_groups(self.storage, f"contacts-{number}")])


def contacts_of(group: Table) -> Contacts:
    a, b = (group[name].astype(np.int64) for name in ("a", "b"))
    return Contacts(a, b, group["sum"], group["count"], group["first_edge"])


def columns_of(contacts: Contacts) -> Table:
    """Contacts between numbers, which have 32 bits."""
    return {
        "a": contacts.a.astype(np.uint32),
        "b": contacts.b.astype(np.uint32),
        "sum": contacts.total,
        "count": contacts.count,
        "first_edge": contacts.first,
    }


@dataclass(frozen=True)
class Partition:
    """The contacts of `cells`, ranges of node numbers; of one cell that holds too many, the share `part` of `parts`."""

    cells: range
    part: int = 0
    parts: int = 1

    def take(self, contacts: Contacts) -> Contacts:
        """Of contacts of its cells, those that belong to it."""
        return contacts if self.parts == 1 else contacts.take(_hashed(contacts) % self.parts == self.part)


def store_graph(
    storage: Storage, tables: Iterable[Contacts], scale: int, partition_rows: int, expected_rows: int, nodes: int
) -> GraphOnDisk:
    """Put contacts between numbers below `nodes` on disk, pairs that come repeatedly as one.

    `tables` come one at a time; `expected_rows` is about how many rows they have together, which decides how many
    cells there are. A partition comes to have `partition_rows` at most.
    """
    cells = max(1, min(nodes, CELLS_EACH * -(-expected_rows // partition_rows)))
    width, step = -(-nodes // cells), max(1, expected_rows // SAMPLE)
    held, where, means = np.zeros(cells, np.int64), _nowhere(cells), [np.zeros(0)]
    for incoming, table in enumerate(tables):
        means.append(table.total[::step] / table.count[::step] / scale)
        cell = table.a // width
        counts = np.bincount(cell, minlength=cells)
        held += counts
        groups = (group for group in grouped(table, cell, cells) if len(group))
        for number, at in enumerate(np.flatnonzero(counts)):
            where[at].append((f"incoming-{incoming}", number))
        if len(table):
            write_groups(storage, f"incoming-{incoming}", map(columns_of, groups), passing=True)
    sample = np.concatenate(means)
    quantiles = np.quantile(sample, np.linspace(1, 0, LEVELS + 1)[1:]) if sample.size else np.zeros(LEVELS)
    bounds = (*map(float, quantiles[:-1]), -1.0)
    rows, partitions = 0, _partitions(held, partition_rows)
    for number, partition in enumerate(partitions):
        parts = (read_group(storage, *source) for cell in partition.cells for source in where[cell])
        joined = Contacts.join([partition.take(contacts_of(group)) for group in parts])
        pooled = joined.renamed(joined.a, joined.b)
        mean = pooled.total / pooled.count / scale
        level = np.searchsorted(-np.array(bounds), -mean, side="right").clip(max=LEVELS - 1)
        levels = grouped(pooled, level, LEVELS)
        write_groups(storage, f"contacts-{number}", [columns_of(group) for group in levels], passing=True)
        rows += len(pooled)
    return GraphOnDisk(storage, rows, len(partitions), bounds)


def _nowhere(cells: int) -> list[list[tuple[str, int]]]:
    """No table and row group yet for any cell."""
    return [[] for _ in range(cells)]


def _partitions(held: Int64s, most: int) -> list[Partition]:
    """Partitions of at most about `most` rows of cells that hold so many: one at least, in the order of the cells."""
    found: list[Partition] = []
    first, filled = 0, 0
    for cell, rows in enumerate(held.tolist()):
        if filled and filled + rows > most:
            found.append(Partition(range(first, cell)))
            first, filled = cell, 0
        if rows > most:
            parts = -(-rows // most)
            found += [Partition(range(first, cell + 1), part, parts) for part in range(parts)]
            first = cell + 1
        else:
            filled += rows
    return [*found, Partition(range(first, held.size))] if filled or not found else found


def _hashed(contacts: Contacts) -> Int64s:
    """A number for each pair, by which pairs fall into shares evenly."""
    pair = contacts.a.astype(np.uint64) << np.uint64(32) | contacts.b.astype(np.uint64)
    return (pair * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(33)).astype(np.int64)


def grouped(contacts: Contacts, group: Int64s, groups: int) -> Sequence[Contacts]:
    """The rows of each group."""
    order = np.argsort(group.astype(np.int32), kind="stable")
    ends = np.cumsum(np.bincount(group, minlength=groups))
    ordered = contacts.take(order)
    return [
        ordered.take(np.arange(end - count, end)) for end, count in zip(ends, np.diff(ends, prepend=0), strict=True)
    ]
