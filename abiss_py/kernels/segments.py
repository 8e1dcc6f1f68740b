"""Statistics of labels: what each segment has, run by run along x.

A run of equal labels is one step: labels are smooth, so most voxels cost a comparison. Segments are found through an
open-addressing hash table that grows with them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import compiled
from abiss_py.kernels.lookup import NOWHERE, slot_of

UInt64s = NDArray[np.uint64]
Int64s = NDArray[np.int64]
UInt32s = NDArray[np.uint32]
Floats = NDArray[np.float64]

#: What a segment's row holds: voxels, sums of their coordinates, the least, and one more than the largest of these.
VOXELS, SUM, LEAST, END = 0, 1, 4, 7
COLUMNS = 10
FARTHEST = 2**62


@compiled
def find(ids: UInt64s, table: UInt32s, wanted: Any) -> Any:
    """The slot of an id in the hash table of `ids`: its own, or the free one where it belongs."""
    slot = slot_of(wanted, table.size)
    while table[slot] != NOWHERE and ids[table[slot]] != wanted:
        slot = slot + 1 if slot + 1 < table.size else 0
    return slot


@compiled
def hash_table(ids: UInt64s, used: Any, size: Any) -> UInt32s:
    """The hash table of the first `used` ids, all different."""
    table = np.full(size, NOWHERE, np.uint32)
    for at in range(used):
        table[find(ids, table, ids[at])] = at
    return table


@compiled
def _more_rows(ids: UInt64s, rows: Int64s) -> tuple[UInt64s, Int64s]:
    """Twice the room."""
    more_ids, more_rows = np.empty(2 * ids.size, np.uint64), np.empty((2 * ids.size, rows.shape[1]), np.int64)
    more_ids[: ids.size] = ids
    more_rows[: ids.size] = rows
    return more_ids, more_rows


@compiled
def count_segments(labels: NDArray[Any], low: tuple[int, int, int]) -> tuple[UInt64s, Int64s]:
    """The ids other than 0 of labels (X, Y, Z), Fortran order, whose first voxel is `low`, and a row for each."""
    nx, ny, nz = labels.shape
    ids, rows, used = np.empty(1024, np.uint64), np.empty((1024, COLUMNS), np.int64), 0
    table = hash_table(ids, 0, 2 * ids.size + 1)
    last, at = np.uint64(0), np.int64(0)
    for k in range(nz):
        z = low[2] + k
        for j in range(ny):
            y, i = low[1] + j, 0
            while i < nx:
                label, begin = np.uint64(labels[i, j, k]), i
                while i < nx and labels[i, j, k] == label:
                    i += 1
                if label == 0:
                    continue
                if label != last:
                    slot = find(ids, table, label)
                    if table[slot] == NOWHERE:
                        if used == ids.size:
                            ids, rows = _more_rows(ids, rows)
                            table = hash_table(ids, used, 2 * ids.size + 1)
                            slot = find(ids, table, label)
                        table[slot] = used
                        ids[used] = label
                        rows[used, :LEAST] = 0
                        rows[used, LEAST:END] = FARTHEST
                        rows[used, END:] = -FARTHEST
                        used += 1
                    last, at = label, np.int64(table[slot])
                length = i - begin
                first = low[0] + begin
                rows[at, VOXELS] += length
                rows[at, SUM] += (2 * first + length - 1) * length // 2
                rows[at, SUM + 1] += y * length
                rows[at, SUM + 2] += z * length
                rows[at, LEAST] = min(rows[at, LEAST], first)
                rows[at, LEAST + 1] = min(rows[at, LEAST + 1], y)
                rows[at, LEAST + 2] = min(rows[at, LEAST + 2], z)
                rows[at, END] = max(rows[at, END], first + length)
                rows[at, END + 1] = max(rows[at, END + 1], y + 1)
                rows[at, END + 2] = max(rows[at, END + 2], z + 1)
    return ids[:used].copy(), rows[:used].copy()


@compiled
def _is_before(x: Any, y: Any, z: Any, place: Int64s) -> Any:
    """Whether a voxel comes before another, by x, then y, then z."""
    if x != place[0]:
        return x < place[0]
    if y != place[1]:
        return y < place[1]
    return z < place[2]


@compiled
def nearest_voxels(
    labels: NDArray[Any],
    low: tuple[int, int, int],
    ids: UInt64s,
    centres: Floats,
    size: tuple[float, float, float],
    squares: Floats,
    places: Int64s,
) -> None:
    """The voxel of each segment that is nearest to its centre, and the square of its distance.

    `ids` has every label but 0; `centres` (N, 3) are in voxels, `size` that of a voxel; `squares` (N) begin as
    infinity. Of voxels at one distance the first by x, y, z counts. A run's nearest voxel is one of the two around the
    centre's x, or its end towards it.
    """
    nx, ny, nz = labels.shape
    table = hash_table(ids, ids.size, 2 * ids.size + 1)
    last, at = np.uint64(0), np.int64(0)
    for k in range(nz):
        z = low[2] + k
        for j in range(ny):
            y, i = low[1] + j, 0
            while i < nx:
                label, begin = np.uint64(labels[i, j, k]), i
                while i < nx and labels[i, j, k] == label:
                    i += 1
                if label == 0:
                    continue
                if label != last:
                    last, at = label, np.int64(table[find(ids, table, label)])
                dy, dz = (y - centres[at, 1]) * size[1], (z - centres[at, 2]) * size[2]
                square = dy * dy + dz * dz
                if square > squares[at]:
                    continue
                below = np.int64(np.floor(centres[at, 0]))
                for near in (below, below + 1):
                    x: Any = min(max(near, low[0] + begin), low[0] + i - 1)
                    dx = (x - centres[at, 0]) * size[0]
                    whole = dx * dx + square
                    if whole < squares[at] or (whole == squares[at] and _is_before(x, y, z, places[at])):
                        squares[at] = whole
                        places[at, 0], places[at, 1], places[at, 2] = x, y, z
