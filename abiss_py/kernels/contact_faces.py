"""Faces between voxels of two segments: how many along each axis, where, and their affinities.

A face lies between a voxel and the next one along an axis, and belongs to the first of the two. Rows of voxels are
compared as a whole, which processors do many voxels at a time; only where they differ is a contact looked for.
Contacts are found through a hash table that grows with them, and the last one of each axis at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import compiled
from abiss_py.kernels.lookup import GOLDEN, NOWHERE
from abiss_py.kernels.region_graph import fixed_point
from abiss_py.kernels.segments import FARTHEST

UInt64s = NDArray[np.uint64]
Int64s = NDArray[np.int64]
UInt32s = NDArray[np.uint32]

#: What a contact's row holds: faces across x, y and z; sums of the coordinates of their middles, in half voxels, of the
#: faces across x, then y, then z; the least coordinates of the voxels at both sides, and one more than the largest; the
#: sum of affinities.
FACES, SUMS, LEAST, END, AFFINITY = 0, 3, 12, 15, 18
COLUMNS = 19


@compiled
def _find(pairs: UInt64s, table: UInt32s, a: Any, b: Any) -> Any:
    """The slot of a pair: its own, or the free one where it belongs. The table's size is a power of two."""
    mask = np.uint64(table.size - 1)
    mixed = (np.uint64(a) * GOLDEN + np.uint64(b)) * GOLDEN
    slot = (mixed ^ (mixed >> np.uint64(32))) & mask
    while table[slot] != NOWHERE and (pairs[table[slot], 0] != a or pairs[table[slot], 1] != b):
        slot = (slot + np.uint64(1)) & mask
    return slot


@compiled
def _table(pairs: UInt64s, used: Any, size: Any) -> UInt32s:
    """The hash table of the first `used` pairs, all different."""
    table = np.full(size, NOWHERE, np.uint32)
    for at in range(used):
        table[_find(pairs, table, pairs[at, 0], pairs[at, 1])] = at
    return table


@compiled
def _more(pairs: UInt64s, rows: Int64s) -> tuple[UInt64s, Int64s]:
    """Twice the room."""
    more_pairs, more_rows = (
        np.empty((2 * pairs.shape[0], 2), np.uint64),
        np.empty((2 * rows.shape[0], COLUMNS), np.int64),
    )
    more_pairs[: pairs.shape[0]] = pairs
    more_rows[: rows.shape[0]] = rows
    return more_pairs, more_rows


@compiled
def _begin(row: Int64s) -> None:
    """A contact without faces."""
    row[:] = 0
    row[LEAST:END] = FARTHEST
    row[END:AFFINITY] = -FARTHEST


@compiled
def _add_face(row: Int64s, axis: int, x: Any, y: Any, z: Any) -> None:
    """Count a face across `axis`, whose first voxel is given."""
    row[FACES + axis] += 1
    sums = SUMS + 3 * axis
    dx, dy, dz = np.int64(axis == 0), np.int64(axis == 1), np.int64(axis == 2)
    row[sums] += 2 * x + 1 + dx
    row[sums + 1] += 2 * y + 1 + dy
    row[sums + 2] += 2 * z + 1 + dz
    row[LEAST] = min(row[LEAST], x)
    row[LEAST + 1] = min(row[LEAST + 1], y)
    row[LEAST + 2] = min(row[LEAST + 2], z)
    row[END] = max(row[END], x + 1 + dx)
    row[END + 1] = max(row[END + 1], y + 1 + dy)
    row[END + 2] = max(row[END + 2], z + 1 + dz)


@compiled
def _mark(own: NDArray[Any], other: NDArray[Any], marks: NDArray[np.uint8], size: Any) -> None:
    """Where two rows differ and both have a segment."""
    for i in range(size):
        marks[i] = np.uint8(own[i] != other[i]) & np.uint8(min(own[i], other[i]) != 0)


@compiled
def count_faces(
    labels: NDArray[Any],
    core: tuple[int, int, int],
    low: tuple[int, int, int],
    affinities: NDArray[Any],
    scale: Any,
) -> tuple[UInt64s, Int64s]:
    """The contacts whose faces belong to the first `core` voxels of labels (X, Y, Z), Fortran order, from `low` on.

    `affinities` (X, Y, Z, 3), Fortran order: a face's is that of the voxel behind it. They are summed as
    `round(value * scale)`; with none in them nothing is.
    """
    sx, sy, sz = labels.shape
    pairs, rows, used = np.empty((1024, 2), np.uint64), np.empty((1024, COLUMNS), np.int64), 0
    table = _table(pairs, 0, 4 * pairs.shape[0])
    marks, last = np.zeros(sx + 8, np.uint8), np.full(3, -1, np.int64)
    words = marks[: (sx + 8) // 8 * 8].view(np.uint64)
    weighted = affinities.size > 0
    for k in range(core[2]):
        for j in range(core[1]):
            own = labels[:, j, k]
            for axis in range(3):
                dx, dy, dz = np.int64(axis == 0), np.int64(axis == 1), np.int64(axis == 2)
                if j + dy >= sy or k + dz >= sz:
                    continue
                other = labels[dx:, j + dy, k + dz]
                size = min(core[0], sx - dx)
                _mark(own, other, marks, size)
                marks[size : size + 8] = 0
                for word in range((size + 7) // 8):
                    if words[word] == 0:
                        continue
                    for i in range(8 * word, 8 * word + 8):
                        if marks[i] == 0:
                            continue
                        a, b = np.uint64(min(own[i], other[i])), np.uint64(max(own[i], other[i]))
                        at = last[axis]
                        if at < 0 or pairs[at, 0] != a or pairs[at, 1] != b:
                            slot = _find(pairs, table, a, b)
                            if table[slot] == NOWHERE:
                                if used == pairs.shape[0]:
                                    pairs, rows = _more(pairs, rows)
                                    table = _table(pairs, used, 4 * pairs.shape[0])
                                    slot = _find(pairs, table, a, b)
                                table[slot] = used
                                pairs[used, 0], pairs[used, 1] = a, b
                                _begin(rows[used])
                                used += 1
                            at = np.int64(table[slot])
                            last[axis] = at
                        _add_face(rows[at], axis, low[0] + i, low[1] + j, low[2] + k)
                        if weighted:
                            rows[at, AFFINITY] += fixed_point(affinities[i + dx, j + dy, k + dz, axis], scale)
    return pairs[:used].copy(), rows[:used].copy()
