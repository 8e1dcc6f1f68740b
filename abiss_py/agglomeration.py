"""Mean-affinity agglomeration: supervoxels become segments.

The pair with the highest mean affinity is joined, while that mean is above the threshold and no rule
forbids it. Contacts come in the order (mean descending, first voxel edge ascending), which joining
never turns around; so pairs that are each other's best may be decided at any time, and a region of the
octree may decide all that does not hang on a cluster that reaches beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from abiss_py.clusters import Clusters
from abiss_py.constraints import Constraint, compile_constraints
from abiss_py.contacts import Contacts
from abiss_py.dtypes import SMALLEST_THRESHOLD, exact_threshold
from abiss_py.errors import ArgumentError
from abiss_py.kernels import agglomeration as kernels
from abiss_py.kernels import lookup
from abiss_py.relabel import Mapping, roots

Int64s = NDArray[np.int64]

#: The kernel numbers the two ends of all contacts in 32 bits.
MOST_CONTACTS = 2**31 - 1


@dataclass(frozen=True)
class Vetoes:
    """Contacts that a rule removed, in order: who would have been joined, and which rule forbade it.

    `a` < `b` are the smallest ids of both clusters at that moment, `rule` the number of the rule.
    `total` over `count` is the mean, in steps of the affinities' type; the voxel edge `first` says where.
    """

    a: Int64s
    b: Int64s
    rule: Int64s
    total: Int64s
    count: Int64s
    first: Int64s

    def __len__(self) -> int:
        return int(self.a.size)

    @classmethod
    def join(cls, tables: Sequence[Vetoes]) -> Vetoes:
        names = ("a", "b", "rule", "total", "count", "first")
        columns = ([getattr(table, name) for table in tables] for name in names)
        return cls(*(np.concatenate([np.zeros(0, np.int64), *column]) for column in columns))


@dataclass(frozen=True)
class Agglomeration:
    """What agglomerating a region decided.

    `mapping` names the cluster of each id that is no longer on its own: its smallest id. `joins`
    are the contacts that were joined, in order, by the names the clusters had then (the merge tree);
    `vetoes` those that a rule removed. `contacts` go on upwards, between clusters that are still open,
    and `clusters` has the rows of these.
    """

    mapping: Mapping
    joins: Contacts
    vetoes: Vetoes
    contacts: Contacts
    clusters: Clusters


def agglomerate(
    contacts: Contacts,
    clusters: Clusters,
    open_ids: Int64s,
    threshold: float,
    scale: int,
    *,
    constraints: Sequence[Constraint] = (),
    class_names: Sequence[str] = (),
    stop: float | None = None,
) -> Agglomeration:
    """Join what can be decided among ids that touch.

    Args:
        contacts: a row per pair of ids.
        clusters: what rules look at, a row for every id that touches another; without constraints it
            may be empty, and is only added up.
        open_ids: those that touch an inner face of the region.
        threshold: an affinity, 0 or 2^-30 to 1; only contacts with means above it are joined.
        scale: the integer that an affinity of 1 is summed as.
        constraints: rules that may forbid a join; the first one that does is noted.
        class_names: what the columns of `clusters.classes` count.
        stop: an affinity from the threshold to 1 at which to stop early. All contacts that are left
            then go on, with the rows of their clusters: agglomerating them further gives what a run
            without a stop would.

    Raises ArgumentError for what it cannot take.
    """
    lowest = _lowest(threshold, stop)
    numerator, shift = exact_threshold(lowest, scale)
    rules = compile_constraints(constraints, class_names, threshold, scale)
    _check(contacts, clusters, scale, class_names)
    ids = _unique(contacts)
    ends = np.empty((len(contacts), 2), np.uint32)
    table = lookup.table_of(ids)
    lookup.places(ids, table, contacts.a, ends[:, 0])
    lookup.places(ids, table, contacts.b, ends[:, 1])
    sums = np.stack([contacts.total, contacts.count, contacts.first], axis=1)
    is_open = np.isin(ids, open_ids)
    rows = clusters.of(ids) if constraints else np.zeros((0, 0), np.int64)
    parent = np.arange(ids.size, dtype=np.uint32)
    bits = 32 - scale.bit_length()
    entries = kernels.candidates(sums, numerator, shift, bits)
    entries.sort()
    kernels.sort_ties(entries, sums)
    joined, vetoed = kernels.agglomerate(
        ends, sums, entries, is_open, rows, rules.rows, rules.masks, rules.predicate, numerator, shift, bits, parent
    )
    top = roots(parent)
    name = np.full(ids.size, np.iinfo(np.int64).max)
    np.minimum.at(name, top, ids)
    moved = name[top] != ids
    mapping = Mapping(ids[moved], name[top][moved])

    alive = ends[:, 0] != ends[:, 1]
    if lowest == threshold:
        alive &= is_open[ends[:, 0]] & is_open[ends[:, 1]]
    left = np.flatnonzero(alive)
    a, b = name[ends[left, 0]], name[ends[left, 1]]
    residual = Contacts(a, b, *_columns(sums[left])).renamed(a, b)
    waiting = np.concatenate([mapping.follow(open_ids), name[top[is_open]], residual.a, residual.b])
    summed = clusters.renamed(mapping)
    return Agglomeration(
        mapping=mapping,
        joins=Contacts(ids[joined[:, 1]], ids[joined[:, 2]], *_columns(sums[joined[:, 0]])),
        vetoes=Vetoes(
            ids[vetoed[:, 1]], ids[vetoed[:, 2]], vetoed[:, 3].astype(np.int64), *_columns(sums[vetoed[:, 0]])
        ),
        contacts=residual,
        clusters=summed.take(np.isin(summed.ids, waiting)),
    )


def _lowest(threshold: float, stop: float | None) -> float:
    """The mean down to which contacts are joined."""
    if not (threshold == 0 or SMALLEST_THRESHOLD <= threshold <= 1):
        raise ArgumentError(f"the threshold is {threshold}; allowed are 0 and 2^-30 to 1")
    if stop is not None and not threshold <= stop <= 1:
        raise ArgumentError(f"stop is {stop}; allowed are affinities from the threshold, {threshold}, to 1")
    return threshold if stop is None else stop


def _check(contacts: Contacts, clusters: Clusters, scale: int, class_names: Sequence[str]) -> None:
    if len(contacts) > MOST_CONTACTS:
        raise ArgumentError(f"{len(contacts)} contacts are too many for one table; at most 2^31 - 1 fit")
    if np.any(contacts.a >= contacts.b):
        raise ArgumentError("a contact's ids are out of order; expected a < b in every row")
    if np.any(contacts.count < 1) or np.any(-(-contacts.total // scale) > contacts.count):
        raise ArgumentError("a contact has no voxel edges or a mean above 1; its sums are damaged")
    if len(clusters) and clusters.classes.shape[1] != len(class_names):
        raise ArgumentError(
            f"the clusters have {clusters.classes.shape[1]} columns of classes, class_names {len(class_names)} names; "
            "give a name for every class"
        )


def _unique(contacts: Contacts) -> Int64s:
    """All ids, sorted. (numpy's own unique goes through a hash table, which is slower for ids.)"""
    ids = np.concatenate([contacts.a, contacts.b])
    ids.sort()
    fresh = np.ones(ids.size, np.bool_)
    np.not_equal(ids[1:], ids[:-1], out=fresh[1:])
    return ids[fresh]


def _columns(sums: Int64s) -> tuple[Int64s, Int64s, Int64s]:
    """Total, count and first, each in one piece."""
    total, count, first = (np.ascontiguousarray(sums[:, i]) for i in range(3))
    return total, count, first
