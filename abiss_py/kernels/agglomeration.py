"""Mean-affinity agglomeration of a region graph, best contact first.

What is compared most is a contact's *entry*: its mean as 32 bits of fixed point, turned round, above
its number, so that the smaller entry comes first and an array of them can be sorted as integers.
Entries with equal means to 32 bits are compared exactly: mean descending, first edge ascending.

Joining pools contacts, which never raises one above the better of the two it came from. A contact that
was pooled since its entry was made is *stale*; its entry may be early, but never late, and is made anew
when it comes up. Entries that are made anew wait in a heap with a copy of the sums that they stand for,
so that the heap's order holds whatever is pooled.

Contacts are numbers below 2^31, clusters are numbers in the order of their ids. `ends` (contacts, 2)
are the clusters of a contact, equal when the contact is gone; `sums` (contacts, 3) its total, count and
first edge. Contact e is in the lists of its two ends as half 2e and half 2e + 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import compiled
from abiss_py.kernels.constraints import first_veto
from abiss_py.kernels.exact import HALF, LOW_HALF, compare_means, mean_exceeds
from abiss_py.kernels.lookup import slot_of

Int64s = NDArray[np.int64]
UInt32s = NDArray[np.uint32]
UInt64s = NDArray[np.uint64]

#: No contact, no half of one, no cluster.
NONE = 0xFFFFFFFF


@compiled
def _entry(e: Any, sums: Int64s, bits: Any) -> Any:
    """The entry of a contact. `bits` of fraction make 32 with those of the largest mean."""
    total, count = np.uint64(sums[e, 0]), np.uint64(sums[e, 1])
    whole = total // count
    mean = (whole << np.uint64(bits)) + ((total - whole * count) << np.uint64(bits)) // count
    return ((LOW_HALF - mean) << HALF) | np.uint64(e)


@compiled
def candidates(sums: Int64s, numerator: Any, shift: Any, bits: Any) -> UInt64s:
    """The entries of all contacts whose mean is above numerator / 2^shift."""
    size = 0
    for e in range(sums.shape[0]):
        size += mean_exceeds(sums[e, 0], sums[e, 1], numerator, shift)
    entries = np.empty(size, np.uint64)
    size = 0
    for e in range(sums.shape[0]):
        if mean_exceeds(sums[e, 0], sums[e, 1], numerator, shift):
            entries[size] = _entry(e, sums, bits)
            size += 1
    return entries


@compiled
def _precedes(e: Any, f: Any, sums: Int64s) -> Any:
    """Whether contact e comes before contact f, exactly."""
    order = compare_means(sums[e, 0], sums[e, 1], sums[f, 0], sums[f, 1])
    return order > 0 or (order == 0 and sums[e, 2] < sums[f, 2])


@compiled
def _sift(entries: UInt64s, at: Any, size: Any, sums: Int64s) -> None:
    """Let an entry sink in a heap of `size` entries that has the last one of the order on top."""
    moved = entries[at]
    while 2 * at + 1 < size:
        below = 2 * at + 1
        if below + 1 < size and _precedes(entries[below] & LOW_HALF, entries[below + 1] & LOW_HALF, sums):
            below += 1
        if not _precedes(moved & LOW_HALF, entries[below] & LOW_HALF, sums):
            break
        entries[at] = entries[below]
        at = below
    entries[at] = moved


@compiled
def sort_ties(entries: UInt64s, sums: Int64s) -> None:
    """Put sorted entries with equal 32 bits into the exact order, by heapsort."""
    start = 0
    for end in range(1, entries.size + 1):
        if end < entries.size and entries[end] >> HALF == entries[start] >> HALF:
            continue
        tied = entries[start:end]
        for at in range(tied.size // 2 - 1, -1, -1):
            _sift(tied, at, tied.size, sums)
        for size in range(tied.size - 1, 0, -1):
            tied[0], tied[size] = tied[size], tied[0]
            _sift(tied, 0, size, sums)
        start = end


@compiled
def _before(heap: Int64s, x: Any, y: Any) -> Any:
    """Whether row x of the heap comes before row y."""
    left, right = np.uint64(heap[x, 0]) >> HALF, np.uint64(heap[y, 0]) >> HALF
    if left != right:
        return left < right
    order = compare_means(heap[x, 1], heap[x, 2], heap[y, 1], heap[y, 2])
    return order > 0 or (order == 0 and heap[x, 3] < heap[y, 3])


@compiled
def _comes_first(entry: Any, sums: Int64s, stale: NDArray[np.bool_], heap: Int64s) -> Any:
    """Whether an entry comes before the first row of the heap, or is stale and may as well."""
    other = np.uint64(heap[0, 0])
    if entry >> HALF != other >> HALF:
        return entry < other
    e = np.int64(entry & LOW_HALF)
    order = compare_means(sums[e, 0], sums[e, 1], heap[0, 1], heap[0, 2])
    return stale[e] or order > 0 or (order == 0 and sums[e, 2] < heap[0, 3])


@compiled
def _swap(heap: Int64s, x: Any, y: Any) -> None:
    for column in range(4):
        heap[x, column], heap[y, column] = heap[y, column], heap[x, column]


@compiled
def _push(heap: Int64s, size: int, e: Any, sums: Int64s, bits: Any) -> Int64s:
    """Add contact e, as it is now, to a heap of `size` rows: entry, total, count, first; returns the heap."""
    if size == heap.shape[0]:
        larger = np.empty((2 * size + 16, 4), np.int64)
        larger[:size] = heap
        heap = larger
    heap[size, 0] = np.int64(_entry(e, sums, bits))
    heap[size, 1], heap[size, 2], heap[size, 3] = sums[e, 0], sums[e, 1], sums[e, 2]
    at = size
    while at > 0 and _before(heap, at, (at - 1) >> 1):
        _swap(heap, at, (at - 1) >> 1)
        at = (at - 1) >> 1
    return heap


@compiled
def _pop(heap: Int64s, size: int) -> Any:
    """Take the best of `size` rows off the heap; returns its contact."""
    top = np.int64(np.uint64(heap[0, 0]) & LOW_HALF)
    size -= 1
    _swap(heap, 0, size)
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and _before(heap, below + 1, below):
            below += 1
        if not _before(heap, below, at):
            break
        _swap(heap, at, below)
        at = below
    return top


@compiled
def _place(table: UInt32s, ends: UInt32s, a: Any, b: Any) -> Any:
    """The slot of the contact between two clusters, or where it may be put.

    A slot holds the number of a contact; what the contact's ends are now decides whether it is meant.
    Contacts that changed their ends stay in their old slots too, which does no harm.
    """
    low, high = (a, b) if a < b else (b, a)
    size = table.size
    slot = slot_of((np.uint64(low) << HALF) | np.uint64(high), size)
    free = np.int64(-1)
    while table[slot] != NONE:
        left, right = ends[table[slot], 0], ends[table[slot], 1]
        if (left == low and right == high) or (left == high and right == low):
            return slot
        if left == right and free < 0:
            free = slot
        slot = slot + 1 if slot + 1 < size else 0
    return slot if free < 0 else free


@compiled
def _fill(table: UInt32s, ends: UInt32s) -> Any:
    """Put all living contacts into a table, and nothing else; returns how many slots are taken."""
    table[:] = NONE
    used = 0
    for e in range(ends.shape[0]):
        if ends[e, 0] != ends[e, 1]:
            table[_place(table, ends, ends[e, 0], ends[e, 1])] = e
            used += 1
    return used


@compiled
def _lists(ends: UInt32s, head: UInt32s, degree: UInt32s) -> UInt32s:
    """The halves of every cluster as a list: the first is `head`, the next ones come back."""
    following = np.empty(2 * ends.shape[0], np.uint32)
    for e in range(ends.shape[0]):
        for side in range(2):
            cluster = ends[e, side]
            following[2 * e + side] = head[cluster]
            head[cluster] = 2 * e + side
            degree[cluster] += 1
    return following


@compiled
def _appended(table: UInt32s, size: int, e: Any, a: Any, b: Any, rule: Any) -> UInt32s:
    """A table with one more row behind the first `size`, moved to a larger one where it is full."""
    if size == table.shape[0]:
        larger = np.empty((2 * size + 16, table.shape[1]), np.uint32)
        larger[:size] = table
        table = larger
    table[size, 0], table[size, 1], table[size, 2], table[size, 3] = e, a, b, rule
    return table


@compiled
def agglomerate(
    ends: UInt32s,
    sums: Int64s,
    entries: UInt64s,
    is_open: NDArray[np.bool_],
    rows: Int64s,
    rules: Int64s,
    masks: NDArray[np.bool_],
    predicate: Any,
    numerator: Any,
    shift: Any,
    bits: Any,
    parent: UInt32s,
) -> tuple[UInt32s, UInt32s]:
    """Join clusters while the best contact's mean is above numerator / 2^shift.

    `entries` are those of `candidates`, in order. `ends`, `sums`, `rows` (the clusters'
    tables, empty where there are no rules), `is_open` and `parent` are changed in place: living contacts
    end as those between roots of `parent`. A contact of an open cluster is not decided, and opens the
    cluster at its other end. Returns joins and vetoes, in order, a row each: contact, the smallest
    cluster that each end had, and the rule. A contact's sums stay as they were when it went.
    """
    contacts, clusters = ends.shape[0], parent.size
    head = np.full(clusters, NONE, np.uint32)
    degree = np.zeros(clusters, np.uint32)
    following = _lists(ends, head, degree)
    table = np.empty(2 * contacts + 1, np.uint32)
    used = _fill(table, ends)
    stale = np.zeros(contacts, np.bool_)
    smallest = np.arange(clusters).astype(np.uint32)
    joins, vetoes = np.empty((clusters, 3), np.uint32), np.empty((0, 4), np.uint32)
    joined, vetoed = 0, 0

    # entries[taken:] are still to come, in order; the heap holds those made anew.
    heap, filled, taken = np.empty((0, 4), np.int64), 0, 0
    while True:
        if taken < entries.size and (filled == 0 or _comes_first(entries[taken], sums, stale, heap)):
            e = np.int64(entries[taken] & LOW_HALF)
            taken += 1
        elif filled > 0:
            e = _pop(heap, filled)
            filled -= 1
        else:
            break
        keep, gone = np.int64(ends[e, 0]), np.int64(ends[e, 1])
        if keep == gone:
            continue
        if stale[e]:
            stale[e] = False
            if mean_exceeds(sums[e, 0], sums[e, 1], numerator, shift):
                heap = _push(heap, filled, e, sums, bits)
                filled += 1
            continue
        if is_open[keep] or is_open[gone]:
            is_open[keep] = True
            is_open[gone] = True
            continue
        if smallest[keep] > smallest[gone]:
            keep, gone = gone, keep
        if rules.shape[0] > 0:
            rule = first_veto(rules, masks, predicate, sums[e, 0], sums[e, 1], rows[keep], rows[gone])
            if rule >= 0:
                vetoes = _appended(vetoes, vetoed, e, smallest[keep], smallest[gone], rule)
                vetoed += 1
                ends[e, 0] = ends[e, 1]
                degree[keep] -= 1
                degree[gone] -= 1
                continue
        joins[joined, 0], joins[joined, 1], joins[joined, 2] = e, smallest[keep], smallest[gone]
        joined += 1
        name = smallest[keep]
        if degree[keep] < degree[gone]:
            keep, gone = gone, keep
        parent[gone] = keep
        smallest[keep] = name
        if rules.shape[0] > 0:
            rows[keep] += rows[gone]
        ends[e, 0] = ends[e, 1]
        degree[keep] -= 1

        half = np.int64(head[gone])
        while half != NONE:
            after = np.int64(following[half])
            f, side = half >> 1, half & 1
            if ends[f, 0] != ends[f, 1]:
                other = np.int64(ends[f, 1 - side])
                slot = _place(table, ends, keep, other)
                g = np.int64(table[slot])
                moves = True
                if g != NONE and ends[g, 0] != ends[g, 1]:  # both touch `other`: pool, the better one lives
                    moves = _precedes(f, g, sums)
                    lives, dies = (f, g) if moves else (g, f)
                    sums[lives, 0] += sums[dies, 0]
                    sums[lives, 1] += sums[dies, 1]
                    sums[lives, 2] = min(sums[lives, 2], sums[dies, 2])
                    ends[dies, 0] = ends[dies, 1]
                    stale[lives] = True
                    degree[other] -= 1
                else:
                    used += g == NONE
                    degree[keep] += 1
                if moves:  # this contact of `gone` is one of `keep` from here on
                    ends[f, side] = keep
                    table[slot] = f
                    following[half] = head[keep]
                    head[keep] = half
            half = after
        if 4 * used > 3 * table.size:
            used = _fill(table, ends)
    return joins[:joined], vetoes[:vetoed]
