"""Mean-affinity agglomeration of a region graph, best contact first.

Contacts lie in a binary heap by (mean descending, first edge ascending), means compared exactly.
Joining pools contacts, which never raises one above the better of the two it came from, so an entry
of the heap may be late but never too low: it is corrected when it comes up.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import compiled
from abiss_py.kernels.exact import compare_means, mean_exceeds
from abiss_py.kernels.region_graph import GOLDEN

Int64s = NDArray[np.int64]


@compiled
def _before(e: Any, f: Any, total: Int64s, count: Int64s, first: Int64s) -> Any:
    """Whether contact e comes before contact f."""
    order = compare_means(total[e], count[e], total[f], count[f])
    return order > 0 or (order == 0 and first[e] < first[f])


@compiled
def _push(heap: Int64s, size: int, e: Any, total: Int64s, count: Int64s, first: Int64s) -> None:
    """Add contact e to a heap of `size` contacts."""
    at = size
    while at > 0:
        above = (at - 1) >> 1
        if not _before(e, heap[above], total, count, first):
            break
        heap[at] = heap[above]
        at = above
    heap[at] = e


@compiled
def _pop(heap: Int64s, size: int, total: Int64s, count: Int64s, first: Int64s) -> Any:
    """Take the best of `size` contacts off the heap."""
    top = heap[0]
    moved = heap[size - 1]
    size -= 1
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and _before(heap[below + 1], heap[below], total, count, first):
            below += 1
        if not _before(heap[below], moved, total, count, first):
            break
        heap[at] = heap[below]
        at = below
    heap[at] = moved
    return top


@compiled
def _slot(pairs: Int64s, pair: Any) -> Any:
    """Where a pair stands in the hash table, or belongs."""
    mask = pairs.size - 1
    slot = np.int64((np.uint64(pair) * GOLDEN) >> np.uint64(20)) & mask
    while pairs[slot] != -1 and pairs[slot] != pair:
        slot = (slot + 1) & mask
    return slot


@compiled
def _pair(a: Any, b: Any) -> Any:
    return (a << 32) | b if a < b else (b << 32) | a


@compiled
def _table(size: int, a: Int64s, b: Int64s, alive: NDArray[np.bool_]) -> tuple[Int64s, Int64s]:
    """A hash table of the living contacts by their pair: pairs and contact numbers."""
    pairs = np.full(size, -1, np.int64)
    contact = np.empty(size, np.int64)
    for e in range(a.size):
        if alive[e]:
            slot = _slot(pairs, _pair(a[e], b[e]))
            pairs[slot] = _pair(a[e], b[e])
            contact[slot] = e
    return pairs, contact


@compiled
def agglomerate(
    a: Int64s,
    b: Int64s,
    total: Int64s,
    count: Int64s,
    first: Int64s,
    is_open: NDArray[np.bool_],
    numerator: int,
    shift: int,
    alive: NDArray[np.bool_],
    parent: Int64s,
    joins: Int64s,
) -> int:
    """Join clusters while the best contact's mean is above numerator / 2^shift; returns how many joins.

    Contacts `a, b, total, count, first` are changed in place: the living ones end as those between
    roots of `parent`. A contact of an open cluster is not decided, and opens the cluster at its other
    end. `joins` gets a row each: the roots a and b, total, count, first.
    """
    contacts, clusters = a.size, parent.size
    following = np.full(2 * contacts, -1, np.int64)  # half-contacts 2e and 2e+1, a list for each cluster
    head = np.full(clusters, -1, np.int64)
    tail = np.full(clusters, -1, np.int64)
    degree = np.zeros(clusters, np.int64)
    for half in range(2 * contacts):
        cluster = a[half >> 1] if half & 1 == 0 else b[half >> 1]
        if head[cluster] < 0:
            head[cluster] = half
        else:
            following[tail[cluster]] = half
        tail[cluster] = half
        degree[cluster] += 1

    size = 1024
    while size < 4 * contacts:
        size *= 2
    pairs, contact = _table(size, a, b, alive)
    used = contacts

    # The heap's own copies: what a contact was when it was put there.
    seen_total, seen_count, seen_first = total.copy(), count.copy(), first.copy()
    heap = np.empty(contacts, np.int64)
    filled = 0
    for e in range(contacts):
        if mean_exceeds(total[e], count[e], numerator, shift):
            _push(heap, filled, e, seen_total, seen_count, seen_first)
            filled += 1

    done = 0
    while filled > 0:
        e = _pop(heap, filled, seen_total, seen_count, seen_first)
        filled -= 1
        if not alive[e]:
            continue
        if seen_count[e] != count[e]:
            seen_total[e], seen_count[e], seen_first[e] = total[e], count[e], first[e]
            if mean_exceeds(total[e], count[e], numerator, shift):
                _push(heap, filled, e, seen_total, seen_count, seen_first)
                filled += 1
            continue
        keep, gone = a[e], b[e]
        if is_open[keep] or is_open[gone]:
            is_open[keep] = True
            is_open[gone] = True
            continue
        if degree[keep] < degree[gone]:
            keep, gone = gone, keep
        joins[done, 0], joins[done, 1] = keep, gone
        joins[done, 2], joins[done, 3], joins[done, 4] = total[e], count[e], first[e]
        done += 1
        parent[gone] = keep
        alive[e] = False
        degree[keep] -= 1

        half = head[gone]
        while half >= 0:
            next_half = following[half]
            f = half >> 1
            if alive[f]:
                other = b[f] if half & 1 == 0 else a[f]
                slot = _slot(pairs, _pair(keep, other))
                if pairs[slot] != -1:  # both touch `other`: pool, and let the better contact live
                    g = contact[slot]
                    if not _before(f, g, total, count, first):
                        f, g = g, f
                    total[f] += total[g]
                    count[f] += count[g]
                    first[f] = min(first[f], first[g])
                    alive[g] = False
                    degree[other] -= 1
                    degree[keep] -= 1
                    contact[slot] = f
                else:
                    pairs[slot] = _pair(keep, other)
                    contact[slot] = f
                    used += 1
                if alive[half >> 1]:  # this contact of `gone` is now one of `keep`
                    if half & 1 == 0:
                        a[half >> 1] = keep
                    else:
                        b[half >> 1] = keep
                    following[half] = -1
                    if head[keep] < 0:
                        head[keep] = half
                    else:
                        following[tail[keep]] = half
                    tail[keep] = half
                degree[keep] += 1
            half = next_half
        if 2 * used > pairs.size:
            living = 0
            for f in range(contacts):
                living += alive[f]
            pairs, contact = _table(pairs.size if 4 * living < pairs.size else 2 * pairs.size, a, b, alive)
            used = living
    return done


@compiled
def names_at_join(ids: Int64s, joins: Int64s) -> Int64s:
    """For each join, the smallest id that either side had when it was joined."""
    smallest = ids.copy()
    names = np.empty((joins.shape[0], 2), np.int64)
    for row in range(joins.shape[0]):
        keep, gone = joins[row, 0], joins[row, 1]
        names[row, 0], names[row, 1] = smallest[keep], smallest[gone]
        smallest[keep] = min(smallest[keep], smallest[gone])
    return names
