"""Contacts between labels: how many voxel edges, the sum of their affinities, and the first of them.

Sums are of integers (`round(affinity * scale)`), so that they are the same in any order. Contacts are
gathered in an open-addressing hash table; each channel remembers its last contact, since neighbouring
voxels mostly repeat it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import compiled

#: Multiplier of Fibonacci hashing, 2^64 over the golden ratio.
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
#: Slots that a label's contacts with smaller ones are looked for in first; most have fewer than half.
NEIGHBOURHOOD = 16


@compiled
def slot_of(table: NDArray[np.int64], pair: Any, shift: np.uint64) -> Any:
    """The slot that holds a pair, or the free one where it belongs.

    A slot is a row of four: pair (0 when free), sum, count, first edge. The larger label has its own
    neighbourhood in the table, which stays in the cache while the scan is near it; a label with more
    contacts than that has room for overflows to where the hash says.
    """
    mask = table.shape[0] - 1
    scattered = np.uint64(pair) * GOLDEN
    home = (pair & 0xFFFFFFFF) * NEIGHBOURHOOD + np.int64(scattered >> np.uint64(60))
    for step in range(NEIGHBOURHOOD):
        slot = (home + step) & mask
        if table[slot, 0] == 0 or table[slot, 0] == pair:
            return slot
    slot = np.int64(scattered >> shift)
    while table[slot, 0] != 0 and table[slot, 0] != pair:
        slot = (slot + 1) & mask
    return slot


@compiled
def grown(table: NDArray[np.int64], shift: np.uint64) -> NDArray[np.int64]:
    """The table, twice as large; `shift` is the new one."""
    larger = np.zeros((2 * table.shape[0], 4), np.int64)
    for old in range(table.shape[0]):
        if table[old, 0] != 0:
            larger[slot_of(larger, table[old, 0], shift)] = table[old]
    return larger


@compiled
def contacts(
    values: NDArray[Any],
    sizes: NDArray[np.int64],
    strides: NDArray[np.int64],
    origin: NDArray[np.int64],
    whole: NDArray[np.int64],
    scale: float,
    cluster: NDArray[np.uint32],
    labels: NDArray[np.uint32],
) -> NDArray[np.int64]:
    """Relabel a chunk in place and return its contacts, a row each: pair, sum, count, first edge.

    `labels[voxel]` becomes `cluster[labels[voxel]]`; 0 has no contacts. A pair is
    `smaller label << 32 | larger label`. `first` is the index of the voxel edge in the whole volume,
    whose x and y sizes are `whole`, for a chunk that begins at `origin` in it.
    """
    nx, ny, nz = sizes[0], sizes[1], sizes[2]
    sx, sxy, sxyz = strides[0], strides[1], strides[2]
    nxy = nx * ny
    bits = 12
    while (1 << bits) < NEIGHBOURHOOD * (cluster.max() + 1):
        bits += 1
    table = np.zeros((1 << bits, 4), np.int64)
    shift = np.uint64(64 - bits)
    used = 0
    last = np.zeros(3, np.int64)
    slots = np.zeros(3, np.int64)
    for z in range(nz):
        for y in range(ny):
            at = y * nx + z * nxy
            row = y * sx + z * sxy
            voxel = origin[0] + whole[0] * (origin[1] + y + whole[1] * (origin[2] + z))
            while used + 3 * nx > table.shape[0] // 2:
                bits += 1
                shift = np.uint64(64 - bits)
                table = grown(table, shift)
                last[:] = 0
            for x in range(nx):
                labels[at + x] = cluster[labels[at + x]]
            for x in range(nx):
                here = np.int64(labels[at + x])
                if here == 0:
                    continue
                for c in range(3):
                    if (c == 0 and x == 0) or (c == 1 and y == 0) or (c == 2 and z == 0):
                        continue
                    step = 1 if c == 0 else (nx if c == 1 else nxy)
                    there = np.int64(labels[at + x - step])
                    if there == here or there == 0:
                        continue
                    pair = (there << 32 | here) if there < here else (here << 32 | there)
                    if pair != last[c]:
                        slot = slot_of(table, pair, shift)
                        if table[slot, 0] == 0:
                            table[slot, 0] = pair
                            table[slot, 3] = 3 * (voxel + x) + c
                            used += 1
                        last[c] = pair
                        slots[c] = slot
                    slot = slots[c]
                    table[slot, 1] += np.int64(np.rint(np.float64(values[c * sxyz + row + x]) * scale))
                    table[slot, 2] += 1
    found = np.empty((used, 4), np.int64)
    count = 0
    for slot in range(table.shape[0]):
        if table[slot, 0] != 0:
            found[count] = table[slot]
            count += 1
    return found
