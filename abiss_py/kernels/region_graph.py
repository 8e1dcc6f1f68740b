"""Contacts between labels: how many voxel edges, the sum of their affinities, the first, the strongest.

Sums are of integers (`round(affinity * scale)`), so that they are the same in any order. A chunk is gone through
in *strips*, some rows of a plane, each one above the other along z: what a strip meets, the one above it mostly
meets again, while it is in a core's own cache. A strip goes through short loops, nearly all without branches, long
enough for their ends, which a processor cannot foresee, to cost little: where anything changes, since most voxels
are inside a label; those places by axis, and their weights called for, which the processor would wait for otherwise;
edges next to each other between the same two labels as one *span*; each span's contact; its sums.
A contact is found through a small cache, since a strip meets the same few pairs again and again, and behind it
an open-addressing hash table of numbers alone. Contacts are numbered as they are met, so that those a strip needs
again soon are near each other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import compiled
from abiss_py.kernels.lookup import GOLDEN
from abiss_py.kernels.prefetch import prefetch
from abiss_py.kernels.simd import CORNERS, KEYS, LANES, enlarge, note_marked, raise_to_top

#: Voxels of a strip, roughly, and the pairs that the cache holds, as a power of two: both are to stay in a
#: core's own cache.
STRIP, CACHE_BITS = 1 << 14, 13
#: Above this float64 has no fractions: adding it rounds to an integer, half to even.
ROUNDING = 2.0**52
#: What a contact's row holds: its pair, its first edge, its sum, and `number of edges << 32 | largest weight`.
PAIR, FIRST, TOTAL, BOTH = 0, 1, 2, 3
#: Larger than any edge's index.
LATEST = np.uint64(2**63)
#: A pair's labels, and a contact's edges and weight, are halves of a number.
HALF, LOWER = np.uint64(32), np.uint64(0xFFFFFFFF)
#: Bits of a place where a label meets another one along x, y, z, and where a run of a label begins.
ALONG_X, ALONG_Y, ALONG_Z, BEGINS = np.uint8(1), np.uint8(2), np.uint8(4), np.uint8(8)
NONE, ONE = np.uint64(0), np.uint64(1)


@compiled
def fixed_point(value: Any, scale: Any) -> Any:
    """round(value * scale), half to even, for a float from 0 to 1: np.rint would be a call to a library."""
    return np.int64((np.float64(value) * scale + ROUNDING) - ROUNDING)


@compiled
def _slot_of(pair: Any, bits: int) -> Any:
    """Where a pair belongs in a table of 2^bits places."""
    return (pair * GOLDEN) >> np.uint64(64 - bits)


@compiled
def place_of(table: NDArray[np.uint32], rows: NDArray[np.uint64], pair: Any, bits: int) -> Any:
    """The place of a pair's number, from 1, in the hash table, or the free one (0) where it belongs."""
    mask = np.uint64(table.size - 1)
    place = _slot_of(pair, bits)
    while table[place] != 0 and rows[np.uint64(table[place]) - ONE, PAIR] != pair:
        place = (place + ONE) & mask
    return place


@compiled
def table_of(rows: NDArray[np.uint64], used: int, bits: int) -> NDArray[np.uint32]:
    """The hash table of the first `used` rows, with 2^bits places."""
    table = np.zeros(1 << bits, np.uint32)
    for number in range(used):
        table[place_of(table, rows, rows[number, PAIR], bits)] = number + 1
    return table


@compiled
def _relabel(
    cluster: NDArray[np.uint32], labels: NDArray[np.uint32], here: NDArray[np.uint32], at: int, size: int
) -> None:
    """Give a strip of `labels` their clusters, and copy them to `here`."""
    begin = np.uint64(at)
    for place in range(np.uint64(size)):
        here[place] = cluster[labels[begin + place]]
    for place in range(np.uint64(size)):
        labels[begin + place] = here[place]


@compiled
def _mark_changes(
    here: NDArray[np.uint32],
    x_before: NDArray[np.uint32],
    y_before: NDArray[np.uint32],
    z_before: NDArray[np.uint32],
    row_begins: NDArray[np.uint8],
    size: int,
    marks: NDArray[np.uint8],
) -> None:
    """Where a strip has contacts with the voxels before it, and runs begin; nothing in the LANES places behind."""
    for place in range(np.uint64(size)):
        own, x, y, z, begins = here[place], x_before[place], y_before[place], z_before[place], row_begins[place]
        # Both are labels if the smaller one is.
        along_x = np.uint8(x != own) & np.uint8(min(x, own) != 0) & ~begins
        along_y = np.uint8(y != own) & np.uint8(min(y, own) != 0)
        along_z = np.uint8(z != own) & np.uint8(min(z, own) != 0)
        begins |= np.uint8(x != own)
        marks[place] = along_x | along_y << np.uint8(1) | along_z << np.uint8(2) | begins << np.uint8(3)
    for place in range(size, size + LANES):
        marks[place] = 0


@compiled
def _note_all(marks: NDArray[np.uint8], bit: Any, size: Any, places: NDArray[np.uint32], end: Any) -> Any:
    """The places that have a bit, in their order, to `places[end:]`; returns the new end."""
    for at in range(0, np.int64(size), LANES):
        end = note_marked(marks, bit, at, places, end)
    return end


@compiled
def _enlarge_boxes(
    here: NDArray[np.uint32],
    begins: NDArray[np.uint32],
    runs: Any,
    row_of: NDArray[np.uint32],
    nx: int,
    y: int,
    z: int,
    corners: NDArray[np.int32],
) -> None:
    """Let the labels' boxes hold the runs of a strip, which end where the next begins."""
    for i in range(runs):
        begin = np.int64(begins[i])
        row = np.int64(row_of[begins[i]])
        before = row * nx
        enlarge(corners, here[begins[i]], begin - before, np.int64(begins[i + ONE]) - before, y + row, z)


@compiled
def _call_for_weights(
    w: NDArray[Any], places: NDArray[np.uint32], begin: Any, end: Any, row_of: NDArray[np.uint32], edge: Any, gap: Any
) -> None:
    """Have the weights of a strip's edges along an axis fetched, of which the first voxel's is at `edge`."""
    for i in range(begin, end):
        place = np.uint64(places[i])
        prefetch(w, edge + place + gap * np.uint64(row_of[place]))


@compiled
def _note_edges(
    here: NDArray[np.uint32],
    there: NDArray[np.uint32],
    w: NDArray[Any],
    places: NDArray[np.uint32],
    begin: Any,
    end: Any,
    row_of: NDArray[np.uint32],
    edge: Any,
    gap: Any,
    pairs: NDArray[np.uint64],
    weights: NDArray[Any],
) -> None:
    """Pairs and weights of a strip's edges along an axis, `places[begin:end]`."""
    for i in range(begin, end):
        place = np.uint64(places[i])
        one, other = here[place], there[place]
        pairs[i] = np.uint64(min(one, other)) << HALF | np.uint64(max(one, other))
        weights[i] = w[edge + place + gap * np.uint64(row_of[place])]


@compiled
def _mark_spans(pairs: NDArray[np.uint64], count: Any, x_end: Any, y_end: Any, marks: NDArray[np.uint8]) -> None:
    """Mark the edges of another pair, or another axis, than the one before; nothing in the LANES behind."""
    for i in range(ONE, count):
        marks[i] = pairs[i] != pairs[i - ONE]
    marks[0] = marks[x_end] = marks[y_end] = 1
    for i in range(LANES):
        marks[count + np.uint64(i)] = 0


@compiled
def _add_up(
    values: NDArray[Any], scale: Any, count: Any, amounts: NDArray[np.uint64], sums: NDArray[np.uint64]
) -> None:
    """`sums[i]` becomes the sum of the first i amounts."""
    for i in range(count):
        amounts[i] = np.uint64(values[i]) if scale is None else np.uint64(fixed_point(values[i], scale))
    sums[0] = total = NONE
    for i in range(count):
        total += amounts[i]
        sums[i + ONE] = total


@compiled
def _largest(weights: NDArray[Any], fresh: NDArray[np.uint8], count: Any, largest: NDArray[np.int64]) -> None:
    """`largest[i]` becomes the largest weight of a span up to edge i, in its lower 32 bits.

    Above them is the span's number, so that one running maximum serves all spans: written as a maximum that
    begins anew with each, the compiler makes a branch of it, which the processor guesses wrong half of the time.
    """
    span = np.int64(0)
    for i in range(count):
        span += np.int64(fresh[i]) << 32
        largest[i] = span | np.int64(weights[i])
    top = np.int64(0)
    for i in range(0, np.int64(count), KEYS):
        top = raise_to_top(largest, i, top)


@compiled
def _look_up(
    pairs: NDArray[np.uint64],
    begins: NDArray[np.uint32],
    spans: Any,
    cached: NDArray[np.uint64],
    cached_number: NDArray[np.uint32],
    numbers: NDArray[np.uint32],
    missing: NDArray[np.uint32],
) -> Any:
    """The numbers of the spans' contacts, as far as they are in the cache; returns how many are `missing`."""
    missed = NONE
    for span in range(spans):
        pair = pairs[begins[span]]
        slot = _slot_of(pair, CACHE_BITS)
        numbers[span] = cached_number[slot]
        missing[missed] = span
        missed += np.uint64(cached[slot] != pair)
    return missed


@compiled
def _sum_spans(
    numbers: NDArray[np.uint32],
    begins: NDArray[np.uint32],
    spans: Any,
    sums: NDArray[np.uint64],
    largest: NDArray[np.int64],
    rows: NDArray[np.uint64],
) -> None:
    """Add each span to the row of its contact."""
    for span in range(spans):
        number, begin, end = numbers[span], np.uint64(begins[span]), np.uint64(begins[span + ONE])
        both = rows[number, BOTH]
        weight = max(both & LOWER, np.uint64(largest[end - ONE]) & LOWER)
        rows[number, TOTAL] += sums[end] - sums[begin]
        rows[number, BOTH] = ((both & ~LOWER) + ((end - begin) << HALF)) | weight


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
    corners: NDArray[np.int32],
    strip: int,
) -> NDArray[np.uint64]:
    """Relabel a chunk in place; returns a row for each of its contacts: PAIR, FIRST, TOTAL, BOTH.

    `labels[voxel]` becomes `cluster[labels[voxel]]`; 0 has no contacts. A pair is
    `smaller label << 32 | larger label`. The first edge is the smallest index of a voxel edge in the
    whole volume, whose x and y sizes are `whole`, for a chunk that begins at `origin` in it. What is
    summed is `values`, times `scale` and rounded unless that is None. A chunk has fewer than 2^32 edges.
    `corners` become those of the labels' boxes, as `simd.enlarge` has them; they begin as `simd.NOTHING`.
    Strips have about `strip` voxels.
    """
    nx, ny, nz = sizes[0], sizes[1], sizes[2]
    sx, sxy, sxyz = strides[0], strides[1], strides[2]
    nxy, gap = nx * ny, np.uint64(sx - nx)
    deep = max(1, min(ny, strip // nx))
    longest = deep * nx
    bits = 12
    # In tissue a label has six to ten contacts, and half of the table is free.
    while max(20 * (corners.size // CORNERS), 6 * longest) > 1 << bits:
        bits += 1
    table = np.zeros(1 << bits, np.uint32)
    rows = np.empty((1 << bits, 4), np.uint64)  # Touched, and so taking memory, only as far as there are contacts.
    used = 0
    cached, cached_number = np.zeros(1 << CACHE_BITS, np.uint64), np.zeros(1 << CACHE_BITS, np.uint32)
    own = np.zeros(nx + longest, np.uint32)  # A strip's labels behind those of the row before it.
    here, x_before = own[nx:], own[nx - 1 :]
    row_of, row_begins = np.zeros(longest, np.uint32), np.zeros(longest, np.uint8)
    for place in range(longest):
        row_of[place], row_begins[place] = place // nx, place % nx == 0
    room = 3 * longest + LANES
    marks, fresh = np.zeros(longest + LANES, np.uint8), np.zeros(room, np.uint8)
    places, begins = np.empty(room, np.uint32), np.empty(longest + LANES, np.uint32)
    pairs, weights = np.empty(room, np.uint64), np.empty(room, w.dtype)
    amounts, sums, largest = np.empty(room, np.uint64), np.empty(room, np.uint64), np.empty(room, np.int64)
    span_begins, numbers, missing = np.empty(room, np.uint32), np.empty(room, np.uint32), np.empty(room, np.uint32)
    for y in range(0, ny, deep):
        # A pair's first edge among these strips is looked at where the cache does not have it yet.
        cached[:] = 0
        size = min(deep, ny - y) * nx
        for z in range(nz):
            at = y * nx + z * nxy
            while used + 3 * size > table.size // 2:
                bits += 1
                table = table_of(rows, used, bits)
                rows, known = np.empty((1 << bits, 4), np.uint64), rows[:used]
                rows[:used] = known
            _relabel(cluster, labels, here, at, size)
            for x in range(nx):
                own[x] = here[x] if y == 0 else labels[at - nx + x]
            z_before = here if z == 0 else labels[at - nxy : at - nxy + size]
            _mark_changes(here, x_before, own, z_before, row_begins, size, marks)

            runs = _note_all(marks, BEGINS, size, begins, NONE)
            begins[runs] = size
            x_end = _note_all(marks, ALONG_X, size, places, NONE)
            y_end = _note_all(marks, ALONG_Y, size, places, x_end)
            count = _note_all(marks, ALONG_Z, size, places, y_end)
            along_x = np.uint64(y * sx + z * sxy)
            along_y, along_z = along_x + np.uint64(sxyz), along_x + np.uint64(2 * sxyz)
            _call_for_weights(w, places, NONE, x_end, row_of, along_x, gap)
            _call_for_weights(w, places, x_end, y_end, row_of, along_y, gap)
            _call_for_weights(w, places, y_end, count, row_of, along_z, gap)
            _enlarge_boxes(here, begins, runs, row_of, nx, y, z, corners)
            if count == 0:
                continue
            _note_edges(here, x_before, w, places, NONE, x_end, row_of, along_x, gap, pairs, weights)
            _note_edges(here, own, w, places, x_end, y_end, row_of, along_y, gap, pairs, weights)
            _note_edges(here, z_before, w, places, y_end, count, row_of, along_z, gap, pairs, weights)
            _mark_spans(pairs, count, x_end, y_end, fresh)
            _add_up(weights.view(values.dtype), scale, count, amounts, sums)
            _largest(weights, fresh, count, largest)

            spans = _note_all(fresh, np.uint8(1), count, span_begins, NONE)
            span_begins[spans] = count
            missed = _look_up(pairs, span_begins, spans, cached, cached_number, numbers, missing)
            for i in range(missed):
                prefetch(table, _slot_of(pairs[span_begins[missing[i]]], bits))
            for i in range(missed):
                edge = np.uint64(span_begins[missing[i]])
                pair = pairs[edge]
                slot = place_of(table, rows, pair, bits)
                if table[slot] == 0:
                    rows[used, PAIR], rows[used, FIRST], rows[used, TOTAL], rows[used, BOTH] = pair, LATEST, NONE, NONE
                    used += 1
                    table[slot] = used
                number = np.uint64(table[slot]) - ONE
                slot = _slot_of(pair, CACHE_BITS)
                cached[slot], cached_number[slot], numbers[missing[i]] = pair, number, number
                axis = np.int64(edge >= x_end) + np.int64(edge >= y_end)
                row = np.int64(row_of[places[edge]])
                x = np.int64(places[edge]) - row * nx
                voxel = origin[0] + x + whole[0] * (origin[1] + y + row + whole[1] * (origin[2] + z))
                rows[number, FIRST] = min(rows[number, FIRST], np.uint64(3 * voxel + axis))
            _sum_spans(numbers, span_begins, spans, sums, largest, rows)
    return rows[:used]
