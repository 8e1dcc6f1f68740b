"""A region graph that does not fit into memory: contacts in partitions on disk, pooled by pair.

Nodes are numbered from 1 in the order of their ids, so that the smallest number of a cluster is its
smallest id; 0 is background, which has no contacts. A contact's partition follows from its pair alone:
rows of one pair meet there and are pooled. Each partition is a table `contacts-K` whose row groups are
*levels*: contacts by falling mean.

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
from seuron.tables import Table, read_group, read_groups, write_groups

Int64s = NDArray[np.int64]

#: Levels are bounded by quantiles of the means of a sample, so that each holds about as many contacts.
LEVELS = 48
SAMPLE = 200_000


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


def store_graph(
    storage: Storage, tables: Iterable[Contacts], scale: int, partition_rows: int, expected_rows: int
) -> GraphOnDisk:
    """Put contacts between numbers on disk, pairs that come repeatedly as one.

    `tables` come one at a time; `expected_rows` is about how many rows they have together, which
    decides how many partitions of `partition_rows` there are.
    """
    partitions = max(1, -(-expected_rows // partition_rows))
    means, incoming = [np.zeros(0)], 0
    for incoming, table in enumerate(tables, start=1):
        step = max(1, partitions * len(table) // SAMPLE)
        means.append(table.total[::step] / table.count[::step] / scale)
        groups = grouped(table, _partition_of(table, partitions), partitions)
        write_groups(storage, f"incoming-{incoming - 1}", [columns_of(group) for group in groups], passing=True)
    sample = np.concatenate(means)
    quantiles = np.quantile(sample, np.linspace(1, 0, LEVELS + 1)[1:]) if sample.size else np.zeros(LEVELS)
    bounds = (*map(float, quantiles[:-1]), -1.0)
    rows = 0
    for partition in range(partitions):
        parts = [contacts_of(read_group(storage, f"incoming-{i}", partition)) for i in range(incoming)]
        joined = Contacts.join(parts)
        pooled = joined.renamed(joined.a, joined.b)
        mean = pooled.total / pooled.count / scale
        level = np.searchsorted(-np.array(bounds), -mean, side="right").clip(max=LEVELS - 1)
        groups = grouped(pooled, level, LEVELS)
        write_groups(storage, f"contacts-{partition}", [columns_of(group) for group in groups], passing=True)
        rows += len(pooled)
    return GraphOnDisk(storage, rows, partitions, bounds)


def _partition_of(contacts: Contacts, partitions: int) -> Int64s:
    """Which partition each pair belongs to: by a hash, so that they fill evenly."""
    mixed = (contacts.a.astype(np.uint64) << np.uint64(32) | contacts.b.astype(np.uint64)) * np.uint64(
        0x9E3779B97F4A7C15
    )
    return ((mixed >> np.uint64(33)) % np.uint64(partitions)).astype(np.int64)


def grouped(contacts: Contacts, group: Int64s, groups: int) -> Sequence[Contacts]:
    """The rows of each group."""
    order = np.argsort(group.astype(np.int32), kind="stable")
    ends = np.cumsum(np.bincount(group, minlength=groups))
    ordered = contacts.take(order)
    return [
        ordered.take(np.arange(end - count, end)) for end, count in zip(ends, np.diff(ends, prepend=0), strict=True)
    ]
