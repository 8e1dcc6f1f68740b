"""Contacts between labels: how many voxel edges, the sum of their affinities, the first, the strongest.

Sums are of integers (`round(affinity * scale)`), so that they are the same in any order. A row of voxels
goes through short loops, nearly all without branches: where anything changes, since most voxels are inside
a label; those places by axis, and their weights called for, which the processor would wait for otherwise; edges
next to each other between the same two labels as one *span*; each span's contact; its sums.
A contact is found through a small cache, since a scan meets the same few pairs again and again, and behind it
an open-addressing hash table of numbers alone. Contacts are numbered as they are met, so that those a scan needs
again soon are near each other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import compiled
from abiss_py.kernels.prefetching import prefetch

#: Multiplier of Fibonacci hashing, 2^64 over the golden ratio.
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
#: Pairs that the cache holds, as a power of two: it is to stay in a core's own cache.
CACHE_BITS = 14
#: Above this float64 has no fractions: adding it rounds to an integer, half to even.
ROUNDING = 2.0**52
#: Larger than any edge's index.
LATEST = 2**63 - 1
#: The second number of a contact's row: how many edges above the 32 bits of the largest weight.
ONE_EDGE, WEIGHT = np.uint64(1 << 32), np.uint64(0xFFFFFFFF)


@compiled
def fixed_point(value: Any, scale: Any) -> Any:
    """round(value * scale), half to even, for a float from 0 to 1: np.rint would be a call to a library."""
    return np.int64((np.float64(value) * scale + ROUNDING) - ROUNDING)


@compiled
def place_of(table: NDArray[np.uint32], pairs: NDArray[np.int64], pair: Any, shift: Any) -> Any:
    """The place of a pair's number, from 1, in the hash table, or the free one (0) where it belongs."""
    mask = np.uint64(table.size - 1)
    place = (np.uint64(pair) * GOLDEN) >> shift
    while table[place] != 0 and pairs[np.uint64(table[place]) - np.uint64(1)] != pair:
        place = (place + np.uint64(1)) & mask
    return place


@compiled
def table_of(pairs: NDArray[np.int64], used: int, bits: int) -> NDArray[np.uint32]:
    """The hash table of the first `used` pairs, with 2^bits places."""
    table, shift = np.zeros(1 << bits, np.uint32), np.uint64(64 - bits)
    for number in range(used):
        table[place_of(table, pairs, pairs[number], shift)] = number + 1
    return table


@compiled
def _row_changes(
    own: NDArray[np.uint32], y_before: NDArray[np.uint32], z_before: NDArray[np.uint32], changes: NDArray[np.uint8]
) -> None:
    """Where a row has contacts with the voxels before it in x, y, z (bits 0, 1, 2), and begins anew (bit 3).

    `own` has one entry more before its first voxel.
    """
    for x in range(changes.size):
        here, before = own[x + 1], own[x]
        anew = before != here
        along_x = anew & (before != 0) & (here != 0)
        along_y = (y_before[x] != here) & (y_before[x] != 0) & (here != 0)
        along_z = (z_before[x] != here) & (z_before[x] != 0) & (here != 0)
        bits = np.uint8(along_x) | (np.uint8(along_y) << np.uint8(1)) | (np.uint8(along_z) << np.uint8(2))
        changes[x] = bits | (np.uint8(anew) << np.uint8(3))


@compiled
def _enlarge(boxes: NDArray[np.int32], label: Any, begin: int, end: int, y: int, z: int) -> None:
    """Let a label's box hold a run of voxels as well; runs come in the order of their planes."""
    if boxes[label, 1, 2] == 0:
        boxes[label, 0, 2] = z
    boxes[label, 0, 0] = min(boxes[label, 0, 0], begin)
    boxes[label, 0, 1] = min(boxes[label, 0, 1], y)
    boxes[label, 1, 0] = max(boxes[label, 1, 0], end)
    boxes[label, 1, 1] = max(boxes[label, 1, 1], y + 1)
    boxes[label, 1, 2] = z + 1


@compiled
def _joined(one: Any, other: Any) -> Any:
    """The second number of a contact's row, for the edges of both."""
    return ((one & ~WEIGHT) + (other & ~WEIGHT)) | max(one & WEIGHT, other & WEIGHT)


@compiled
def _add_spans(
    here_row: NDArray[np.uint32],
    there_row: NDArray[np.uint32],
    places: NDArray[np.int64],
    count: Any,
    axis: int,
    edge: Any,
    w: NDArray[Any],
    values: NDArray[Any],
    scale: Any,
    spans: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint64]],
    known: Any,
) -> Any:
    """Note the spans of a row's edges along an axis, behind the `known` ones; returns how many there are then.

    The edges lie at `places[:count]`, and at `edge + place` in the weights. A span's row is written anew
    with each of its edges, which spares a branch; it has the pair, the first edge, and the two sums of `contacts`.
    """
    pair_of, first_of, total_of, both_of = spans
    last, total, largest, edges = np.int64(0), np.uint64(0), np.uint64(0), np.uint64(0)
    for i in range(count):
        place = np.uint64(places[i])
        here, there = np.int64(here_row[place]), np.int64(there_row[place])
        pair = min(here, there) << 32 | max(here, there)
        fresh = pair != last
        last = pair
        first_of[known] = 3 * places[i] + axis
        known += np.uint64(fresh)
        value = values[edge + place]
        amount = np.uint64(np.int64(value) if scale is None else fixed_point(value, scale))
        total = amount + (np.uint64(0) if fresh else total)
        edges = ONE_EDGE + (np.uint64(0) if fresh else edges)
        largest = max(np.uint64(w[edge + place]), np.uint64(0) if fresh else largest)
        span = known - np.uint64(1)
        pair_of[span], total_of[span], both_of[span] = pair, total, edges | largest
    return known


@compiled
def contacts(
    w: NDArray[Any],
    values: NDArray[Any],
    scale: Any,
    sizes: NDArray[np.int64],
    strides: NDArray[np.int64],
    origin: NDArray[np.int64],
    whole: NDArray[np.int64],
    cluster: NDArray[np.uint32],
    labels: NDArray[np.uint32],
    boxes: NDArray[np.int32],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]:
    """Relabel a chunk in place; returns its contacts' pairs, first edges, and a row each: sum, count and weight.

    `labels[voxel]` becomes `cluster[labels[voxel]]`; 0 has no contacts. A pair is
    `smaller label << 32 | larger label`. The first edge is the smallest index of a voxel edge in the
    whole volume, whose x and y sizes are `whole`, for a chunk that begins at `origin` in it. What is
    summed is `values`, times `scale` and rounded unless that is None. The second number of a row is
    `number of edges << 32 | largest weight`; a chunk has fewer than 2^32 edges.
    `boxes` become the labels' bounding boxes: they begin empty, the low corner above the high one.
    """
    nx, ny, nz = sizes[0], sizes[1], sizes[2]
    sx, sxy, sxyz = strides[0], strides[1], strides[2]
    nxy = nx * ny
    bits = 12
    while 20 * boxes.shape[0] > 1 << bits:  # In tissue a label has six to ten contacts, and half of the table is free.
        bits += 1
    table = np.zeros(1 << bits, np.uint32)
    # Touched, and so taking memory, only as far as there are contacts.
    pairs, first = np.empty(1 << bits, np.int64), np.empty(1 << bits, np.int64)
    rows = np.empty((1 << bits, 2), np.uint64)
    used = 0
    cached, cached_number = np.zeros(1 << CACHE_BITS, np.int64), np.zeros(1 << CACHE_BITS, np.uint32)
    own = np.zeros(nx + 1, np.uint32)
    changes, found = np.empty(nx, np.uint8), np.empty(nx + 1, np.int64)
    edges, begins = np.empty((3, nx + 1), np.int64), np.empty(nx + 1, np.int64)
    pair_of, first_of = np.empty(3 * nx + 1, np.int64), np.empty(3 * nx + 1, np.int64)
    total_of, both_of = np.empty(3 * nx + 1, np.uint64), np.empty(3 * nx + 1, np.uint64)
    spans, found_number = (pair_of, first_of, total_of, both_of), np.empty(3 * nx + 1, np.uint32)
    missing = np.empty(3 * nx + 1, np.int64)
    for z in range(nz):
        for y in range(ny):
            at = y * nx + z * nxy
            row = y * sx + z * sxy
            voxel = origin[0] + whole[0] * (origin[1] + y + whole[1] * (origin[2] + z))
            while used + 3 * nx > table.size // 2:
                bits += 1
                table = table_of(pairs, used, bits)
                pairs = np.concatenate((pairs, np.empty(pairs.size, np.int64)))
                first = np.concatenate((first, np.empty(first.size, np.int64)))
                rows = np.concatenate((rows, np.empty(rows.shape, np.uint64)))
            for x in range(nx):
                own[x + 1] = cluster[labels[at + x]]
            labels[at : at + nx] = own[1:]
            own[0] = own[1]
            y_before = own[1:] if y == 0 else labels[at - nx : at]
            z_before = own[1:] if z == 0 else labels[at - nxy : at - nxy + nx]
            _row_changes(own, y_before, z_before, changes)
            count = np.uint64(0)
            for x in range(nx):
                found[count] = x
                count += np.uint64(changes[x] != 0)
            along_x, along_y, along_z, runs = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
            for i in range(count):
                x = found[i]
                change = np.uint64(changes[x])
                edges[0, along_x], edges[1, along_y], edges[2, along_z], begins[runs] = x, x, x, x
                along_x += change & np.uint64(1)
                along_y += (change >> np.uint64(1)) & np.uint64(1)
                along_z += (change >> np.uint64(2)) & np.uint64(1)
                runs += change >> np.uint64(3)
            begins[runs] = nx
            for c in range(3):
                edge = np.uint64(c * sxyz + row)
                for i in range(along_x if c == 0 else (along_y if c == 1 else along_z)):
                    prefetch(w, edge + np.uint64(edges[c, i]))
            begin = 0
            for i in range(runs + np.uint64(1)):
                _enlarge(boxes, own[np.uint64(begins[i])], begin, begins[i], y, z)
                begin = begins[i]
            count = np.uint64(0)
            for c in range(3):
                there_row = own[:nx] if c == 0 else (y_before if c == 1 else z_before)
                along, edge = (along_x if c == 0 else (along_y if c == 1 else along_z)), np.uint64(c * sxyz + row)
                count = _add_spans(own[1:], there_row, edges[c], along, c, edge, w, values, scale, spans, count)
            missed = np.uint64(0)
            for i in range(count):
                pair = pair_of[i]
                slot = (np.uint64(pair) * GOLDEN) >> np.uint64(64 - CACHE_BITS)
                found_number[i] = cached_number[slot]
                missing[missed] = i
                missed += np.uint64(cached[slot] != pair)
            known = used
            for i in range(missed):
                span = missing[i]
                pair = pair_of[span]
                place = place_of(table, pairs, pair, np.uint64(64 - bits))
                if table[place] == 0:
                    pairs[used], first[used] = pair, LATEST
                    rows[used, 0], rows[used, 1] = np.uint64(0), np.uint64(0)
                    used += 1
                    table[place] = used
                number = np.int64(table[place]) - 1
                slot = (np.uint64(pair) * GOLDEN) >> np.uint64(64 - CACHE_BITS)
                cached[slot], cached_number[slot] = pair, number
                found_number[span] = number
                if number >= known:  # Later rows have only later edges. A pair that is new in its row is not cached.
                    first[number] = min(first[number], 3 * voxel + first_of[span])
            for i in range(count):
                number = found_number[i]
                rows[number, 0] += total_of[i]
                rows[number, 1] = _joined(rows[number, 1], both_of[i])
    return pairs[:used], first[:used], rows[:used]
