"""Mean-affinity agglomeration: supervoxels become segments.

The pair with the highest mean affinity is joined, while that mean is above the threshold. Contacts
come in the order (mean descending, first voxel edge ascending), which joining never turns around;
so pairs that are each other's best may be joined at any time, and a region of the octree may decide
all that does not hang on a cluster that reaches beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from abiss_py.contacts import Contacts
from abiss_py.dtypes import exact_threshold
from abiss_py.errors import ArgumentError
from abiss_py.kernels import agglomeration as kernels
from abiss_py.relabel import Mapping, roots

Int64s = NDArray[np.int64]

#: Below this a threshold that is not 0 cannot be compared exactly in 128 bits.
SMALLEST_THRESHOLD = 2.0**-30


@dataclass(frozen=True)
class Agglomeration:
    """What agglomerating a region decided.

    `mapping` names the cluster of each id that is no longer on its own: its smallest id. `joins`
    are the contacts that were joined, in order, by the names the clusters had then (the merge tree).
    `contacts` are those that go on upwards, between clusters that are still open.
    """

    mapping: Mapping
    joins: Contacts
    contacts: Contacts


def agglomerate(contacts: Contacts, open_ids: Int64s, threshold: float, scale: int) -> Agglomeration:
    """Join what can be decided among ids that touch.

    `contacts` has a row per pair; `open_ids` are those that touch an inner face of the region;
    `threshold` is an affinity from 0 to 1, `scale` the integer that an affinity of 1 is summed as.
    """
    if not (threshold == 0 or SMALLEST_THRESHOLD <= threshold <= 1):
        raise ArgumentError(f"the threshold is {threshold}; allowed are 0 and 2^-30 to 1")
    numerator, shift = exact_threshold(threshold, scale)
    ids = np.unique(np.concatenate([contacts.a, contacts.b]))
    a, b = np.searchsorted(ids, contacts.a), np.searchsorted(ids, contacts.b)
    total, count, first = contacts.total.copy(), contacts.count.copy(), contacts.first.copy()
    is_open = np.isin(ids, open_ids)
    alive = np.ones(a.size, np.bool_)
    parent = np.arange(ids.size)
    rows = np.empty((ids.size, 5), np.int64)
    done = kernels.agglomerate(a, b, total, count, first, is_open, numerator, shift, alive, parent, rows)

    top = roots(parent)
    name = np.full(ids.size, np.iinfo(np.int64).max)
    np.minimum.at(name, top, ids)
    cluster = name[top]
    moved = cluster != ids
    left = np.flatnonzero(alive & is_open[a] & is_open[b])
    residual = Contacts(a, b, total, count, first).take(left)
    return Agglomeration(
        mapping=Mapping(ids[moved], cluster[moved]),
        joins=_joins(ids, rows[:done]),
        contacts=residual.renamed(name[residual.a], name[residual.b]),
    )


def _joins(ids: Int64s, rows: Int64s) -> Contacts:
    """The merge tree under the smallest ids that the joined clusters had at that moment."""
    names = kernels.names_at_join(ids, rows)
    a, b = np.minimum(names[:, 0], names[:, 1]), np.maximum(names[:, 0], names[:, 1])
    return Contacts(a, b, rows[:, 2].copy(), rows[:, 3].copy(), rows[:, 4].copy())
