"""Following ids through the octree: what a key of one level is called one level up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import lookup, union_find

#: A hash table of a list pays when one in so many of its ids, or more, is looked for.
FEW = 4


@dataclass(frozen=True)
class Mapping:
    """New names of some ids: `keys`, sorted and unique, become `values`. 0 is background."""

    keys: NDArray[np.int64]
    values: NDArray[np.int64]

    @classmethod
    def of(cls, keys: NDArray[np.int64], values: NDArray[np.int64]) -> Mapping:
        """A mapping from unsorted pairs; every key comes once."""
        order = np.argsort(keys)
        return cls(keys[order], values[order])

    @classmethod
    def union(cls, mappings: Sequence[Mapping]) -> Mapping:
        """All pairs of several mappings that do not contradict each other."""
        mappings = [mapping for mapping in mappings if mapping.keys.size]
        if not mappings:
            return cls(np.zeros(0, np.int64), np.zeros(0, np.int64))
        if len(mappings) == 1:
            return mappings[0]
        keys, at = np.unique(np.concatenate([mapping.keys for mapping in mappings]), return_index=True)
        return cls(keys, np.concatenate([mapping.values for mapping in mappings])[at])

    def follow(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The ids, of any shape, with their new names; an id that is no key keeps its name."""
        ids = np.asarray(ids, np.int64)  # compiled code would compare other integers as floats
        if self.keys.size == 0 or ids.size == 0:
            return ids
        if FEW * ids.size < self.keys.size:
            at = np.minimum(np.searchsorted(self.keys, ids), self.keys.size - 1)
            return np.where(self.keys[at] == ids, self.values[at], ids)
        named = np.empty(ids.size, np.int64)
        lookup.follow(self.keys, self.values, ids.reshape(-1), named)
        return named.reshape(ids.shape)


class Positions:
    """Where ids stand in a sorted list of unique ones: `Positions(ids)(wanted)`, of which the list has all.

    Its hash table is made when it first pays, and kept.
    """

    def __init__(self, ids: NDArray[np.int64]) -> None:
        self._ids = ids
        self._table: NDArray[np.uint32] | None = None

    def __call__(self, wanted: NDArray[np.int64]) -> NDArray[np.uint32]:
        if self._table is None:
            if FEW * wanted.size < self._ids.size:
                return np.searchsorted(self._ids, wanted).astype(np.uint32)
            self._table = lookup.table_of(self._ids)
        found = np.empty(wanted.size, np.uint32)
        lookup.places(self._ids, self._table, wanted, found)
        return found


def roots(parent: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Every member's root in a union-find."""
    root = parent.copy()
    union_find.point_to_roots(root)
    return root
