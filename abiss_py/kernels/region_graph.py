"""Contacts between labels: how many voxel edges, the sum of their affinities, the first, the strongest.

Sums are of integers (`round(affinity * scale)`), so that they are the same in any order. Rows are
first looked at without a branch for the voxels where anything changes; most are inside a label.
A contact's row is found through a small cache, since a scan meets the same few pairs again and
again, and behind it an open-addressing hash table of row numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import compiled

#: Multiplier of Fibonacci hashing, 2^64 over the golden ratio.
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
#: Pairs that the cache holds, as a power of two: it is to stay in a core's own cache.
CACHE_BITS = 14
#: Above this float64 has no fractions: adding it rounds to an integer, half to even.
ROUNDING = 2.0**52
#: Larger than any edge's index.
LATEST = 2**63 - 1
#: Columns of a contact's row.
TOTAL, COUNT, FIRST, STRONGEST = 0, 1, 2, 3


@compiled
def fixed_point(value: Any, scale: Any) -> Any:
    """round(value * scale), half to even, for a float from 0 to 1: np.rint would be a call to a library."""
    return np.int64((np.float64(value) * scale + ROUNDING) - ROUNDING)


@compiled
def place_of(table: NDArray[np.uint32], pairs: NDArray[np.int64], pair: Any, shift: Any) -> Any:
    """The place in the hash table that names a pair's row, or the free one (0) where it belongs.

    The table names row i of `pairs` as i + 1.
    """
    mask = table.size - 1
    place = np.int64((np.uint64(pair) * GOLDEN) >> shift)
    while table[place] != 0 and pairs[table[place] - 1] != pair:
        place = (place + 1) & mask
    return place


@compiled
def rehashed(pairs: NDArray[np.int64], bits: int) -> NDArray[np.uint32]:
    """A hash table of 2^bits places for the rows of `pairs`."""
    table = np.zeros(1 << bits, np.uint32)
    for i in range(pairs.size):
        table[place_of(table, pairs, pairs[i], np.uint64(64 - bits))] = i + 1
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
    """Let a label's box hold a run of voxels as well."""
    boxes[label, 0, 0] = min(boxes[label, 0, 0], begin)
    boxes[label, 0, 1] = min(boxes[label, 0, 1], y)
    boxes[label, 0, 2] = min(boxes[label, 0, 2], z)
    boxes[label, 1, 0] = max(boxes[label, 1, 0], end)
    boxes[label, 1, 1] = max(boxes[label, 1, 1], y + 1)
    boxes[label, 1, 2] = max(boxes[label, 1, 2], z + 1)


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
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Relabel a chunk in place; returns its contacts' pairs, and a row each: total, count, first, strongest.

    `labels[voxel]` becomes `cluster[labels[voxel]]`; 0 has no contacts. A pair is
    `smaller label << 32 | larger label`. `first` is the index of the voxel edge in the whole volume,
    whose x and y sizes are `whole`, for a chunk that begins at `origin` in it; `strongest` is the
    largest weight. What is summed is `values`, times `scale` and rounded unless that is None.
    `boxes` become the labels' bounding boxes: they begin empty, the low corner above the high one.
    """
    nx, ny, nz = sizes[0], sizes[1], sizes[2]
    sx, sxy, sxyz = strides[0], strides[1], strides[2]
    nxy = nx * ny
    bits = 12
    table = np.zeros(1 << bits, np.uint32)
    pairs, rows = np.empty(1 << bits, np.int64), np.empty((1 << bits, 4), np.int64)
    used = 0
    cached, cached_row = np.zeros(1 << CACHE_BITS, np.int64), np.zeros(1 << CACHE_BITS, np.uint32)
    own = np.zeros(nx + 1, np.uint32)
    changes, found = np.empty(nx, np.uint8), np.empty(nx + 1, np.int64)
    lists, lengths = np.empty((4, nx + 1), np.int64), np.zeros(4, np.uint64)
    step = np.array([1, nx, nxy])
    for z in range(nz):
        for y in range(ny):
            at = y * nx + z * nxy
            row = y * sx + z * sxy
            voxel = origin[0] + whole[0] * (origin[1] + y + whole[1] * (origin[2] + z))
            while used + 3 * nx > table.size // 2:
                bits += 1
                pairs = np.concatenate((pairs, np.empty(pairs.size, np.int64)))
                rows = np.concatenate((rows, np.empty(rows.shape, np.int64)))
                table = rehashed(pairs[:used], bits)
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
            lengths[:] = 0
            for i in range(count):
                x = found[i]
                change = changes[x]
                for kind in range(4):
                    lists[kind, lengths[kind]] = x
                    lengths[kind] += np.uint64((change >> np.uint8(kind)) & np.uint8(1))
            begin = 0
            lists[3, lengths[3]] = nx
            for i in range(lengths[3] + np.uint64(1)):
                end = lists[3, i]
                _enlarge(boxes, own[end], begin, end, y, z)
                begin = end
            for c in range(3):
                last = np.int64(0)
                contact = np.uint32(0)
                before = at - step[c]
                edge = c * sxyz + row
                for i in range(lengths[c]):
                    x = lists[c, i]
                    here, there = np.int64(own[x + 1]), np.int64(labels[before + x])
                    pair = min(here, there) << 32 | max(here, there)
                    if pair != last:
                        last = pair
                        slot = np.int64((np.uint64(pair) * GOLDEN) >> np.uint64(64 - CACHE_BITS))
                        if cached[slot] != pair:
                            place = place_of(table, pairs, pair, np.uint64(64 - bits))
                            if table[place] == 0:
                                pairs[used] = pair
                                rows[used, TOTAL], rows[used, COUNT], rows[used, STRONGEST] = 0, 0, 0
                                rows[used, FIRST] = LATEST
                                used += 1
                                table[place] = used
                            cached[slot], cached_row[slot] = pair, np.uint32(table[place] - 1)
                        contact = cached_row[slot]
                        rows[contact, FIRST] = min(rows[contact, FIRST], 3 * (voxel + x) + c)
                    rows[contact, TOTAL] += (
                        np.int64(values[edge + x]) if scale is None else fixed_point(values[edge + x], scale)
                    )
                    rows[contact, COUNT] += 1
                    rows[contact, STRONGEST] = max(rows[contact, STRONGEST], np.int64(w[edge + x]))
    return pairs[:used], rows[:used]
