"""Contacts: how much two labels touch, and how strongly. The rows of a region graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from abiss_py.rows import order, taken

Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class Contacts:
    """One row for each two ids that touch: a < b, sum and number of affinities, first voxel edge.

    `total` is in the integer steps of the affinities' type; `first` is an edge index in the volume.
    """

    a: Int64s
    b: Int64s
    total: Int64s
    count: Int64s
    first: Int64s

    def __len__(self) -> int:
        return int(self.a.size)

    @classmethod
    def empty(cls) -> Contacts:
        return cls(*(np.zeros(0, np.int64) for _ in range(5)))

    @classmethod
    def join(cls, tables: Sequence[Contacts]) -> Contacts:
        """All rows of several tables, pairs repeated as they are."""
        if not tables:
            return cls.empty()
        names = ("a", "b", "total", "count", "first")
        return cls(*(np.concatenate([getattr(table, name) for table in tables]) for name in names))

    def take(self, rows: NDArray[np.bool_] | Int64s) -> Contacts:
        return Contacts(*taken((self.a, self.b, self.total, self.count, self.first), rows))

    def renamed(self, a: Int64s, b: Int64s) -> Contacts:
        """The contacts under new ids: a row per pair, sorted; background and inner contacts are gone."""
        return Contacts(np.minimum(a, b), np.maximum(a, b), self.total, self.count, self.first)._summed()

    def _summed(self) -> Contacts:
        table = self.take((self.a != self.b) & (self.a != 0))
        if len(table) == 0:
            return table
        a, b = table.a, table.b
        if not np.all((a[1:] > a[:-1]) | ((a[1:] == a[:-1]) & (b[1:] >= b[:-1]))):
            table = table.take(order(a, b))
        fresh = np.empty(len(table), bool)
        fresh[0] = True
        fresh[1:] = (table.a[1:] != table.a[:-1]) | (table.b[1:] != table.b[:-1])
        if fresh.all():
            return table
        starts = np.flatnonzero(fresh)
        return Contacts(
            table.a[starts],
            table.b[starts],
            np.add.reduceat(table.total, starts),
            np.add.reduceat(table.count, starts),
            np.minimum.reduceat(table.first, starts),
        )
