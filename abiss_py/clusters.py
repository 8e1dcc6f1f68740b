"""Clusters as rows: how large they are, and what is known to lie in them. What rules look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.errors import ArgumentError
from abiss_py.kernels import classes as kernels
from abiss_py.relabel import Mapping

Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class Clusters:
    """One row for each cluster: `ids` sorted and unique, sizes, and voxels of each semantic class.

    `voxels` and `supervoxels` are (n,), `classes` is (n, K): its column k counts voxels of class k + 1.
    All columns add up: a cluster that lies in several boxes is the sum of its rows there. So a
    supervoxel counts as 1 where its first voxel lies, and as 0 in the other boxes that it reaches.
    """

    ids: Int64s
    voxels: Int64s
    supervoxels: Int64s
    classes: Int64s

    def __len__(self) -> int:
        return int(self.ids.size)

    @classmethod
    def empty(cls, classes: int = 0) -> Clusters:
        none = np.zeros(0, np.int64)
        return cls(none, none, none, np.zeros((0, classes), np.int64))

    @classmethod
    def summed(cls, ids: Int64s, voxels: Int64s, supervoxels: Int64s, classes: Int64s) -> Clusters:
        """A table from rows in any order: those of one id become one; background, 0, is left out."""
        order = np.argsort(ids, kind="stable")
        order = order[np.searchsorted(ids, 1, sorter=order) :]
        if order.size == 0:
            return cls.empty(classes.shape[1])
        ids = ids[order]
        starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
        return cls(
            ids[starts],
            np.add.reduceat(voxels[order], starts),
            np.add.reduceat(supervoxels[order], starts),
            np.add.reduceat(classes[order], starts, axis=0),
        )

    @classmethod
    def join(cls, tables: Sequence[Clusters]) -> Clusters:
        """Several tables of the same classes as one; rows of one id are added."""
        if not tables:
            return cls.empty()
        names = ("ids", "voxels", "supervoxels", "classes")
        return cls.summed(*(np.concatenate([getattr(table, name) for table in tables]) for name in names))

    def renamed(self, mapping: Mapping) -> Clusters:
        """The clusters under new ids; rows that get the same one are added, those that get 0 are gone."""
        return self.summed(mapping.follow(self.ids), self.voxels, self.supervoxels, self.classes)

    def take(self, rows: NDArray[np.bool_] | Int64s) -> Clusters:
        return Clusters(self.ids[rows], self.voxels[rows], self.supervoxels[rows], self.classes[rows])

    def of(self, ids: Int64s) -> Int64s:
        """The rows of some ids as one array (n, 2 + K): voxels, supervoxels, voxels of class 1, 2, ...

        Raises ArgumentError if an id has no row.
        """
        at = np.minimum(np.searchsorted(self.ids, ids), max(0, len(self) - 1))
        if ids.size and (len(self) == 0 or not np.array_equal(self.ids[at], ids)):
            missing = int(ids[0] if len(self) == 0 else ids[self.ids[at] != ids][0])
            raise ArgumentError(f"cluster {missing} has contacts but no row; constraints need a row for every cluster")
        return np.concatenate([self.voxels[at, None], self.supervoxels[at, None], self.classes[at]], axis=1)


def count_classes(labels: NDArray[np.uint32], semantic: NDArray[Any], clusters: int, classes: int) -> Int64s:
    """Voxels of each class in each cluster, (clusters, classes); column k counts class k + 1.

    `labels` (X, Y, Z) numbers the clusters from 0; `semantic` has the same shape and holds class numbers,
    0 for none. Raises ArgumentError for another shape, no unsigned integers, or a class that is too large.
    """
    if semantic.shape != labels.shape or semantic.dtype.kind != "u":
        raise ArgumentError(
            f"the semantic labels are {semantic.dtype} {semantic.shape}; "
            f"expected unsigned integers of the shape {labels.shape}"
        )
    counts = np.zeros((clusters, classes), np.int64)
    flat = np.asfortranarray(semantic).reshape(-1, order="F")
    wrong = kernels.count_classes(np.asfortranarray(labels).reshape(-1, order="F"), flat, counts)
    if wrong >= 0:
        x, y, z = (int(i) for i in np.unravel_index(wrong, labels.shape, order="F"))
        raise ArgumentError(
            f"the semantic label at voxel ({x}, {y}, {z}) is {flat[wrong]}; there are {classes} classes: "
            "allowed are 0 (none) and 1 to that number"
        )
    return counts
