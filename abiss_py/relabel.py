"""Following ids through the octree: what a key of one level is called one level up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
        if not mappings:
            return cls(np.zeros(0, np.int64), np.zeros(0, np.int64))
        keys, at = np.unique(np.concatenate([mapping.keys for mapping in mappings]), return_index=True)
        return cls(keys, np.concatenate([mapping.values for mapping in mappings])[at])

    def follow(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The ids with their new names; an id that is no key keeps its name."""
        if self.keys.size == 0 or ids.size == 0:
            return ids
        at = np.minimum(np.searchsorted(self.keys, ids), self.keys.size - 1)
        return np.where(self.keys[at] == ids, self.values[at], ids)


def roots(parent: NDArray[np.integer[Any]]) -> NDArray[Any]:
    """Every member's root in a union-find, by following all parents at once."""
    while True:
        above = parent[parent]
        if np.array_equal(above, parent):
            return parent
        parent = above
