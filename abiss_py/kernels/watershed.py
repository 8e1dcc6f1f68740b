"""Basins of one chunk: steepest edges, connected components, and the strongest edges between basins.

An edge's key is `weight << 32 | (2^32 - 1 - local edge index)`, so that the larger key is the edge
that comes first in the total order. A local edge index is 3 * local voxel + channel.
The experiments behind these loops are in docs/performance.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import compiled
from abiss_py.kernels.union_find import union

#: Bit of a voxel in the map of joins: it has no edge above `low` and belongs to no basin.
BACKGROUND = 0x80
#: Direction codes: 0, 1, 2 towards lower x, y, z; 3, 4, 5 towards upper x, y, z; 6 for none.
NO_DIRECTION = 6
#: Largest local edge index that a key can hold.
INDEX_MASK = 0xFFFFFFFF


@compiled
def steepest(
    x_edges: NDArray[Any],
    y_low: NDArray[Any],
    z_low: NDArray[Any],
    y_high: NDArray[Any],
    z_high: NDArray[Any],
    low: Any,
    codes: NDArray[np.uint8],
    weights: NDArray[Any],
) -> None:
    """The direction and the weight of every voxel's steepest edge above `low`, for one row.

    The six edges are looked at in the order of their indices, so that `>` alone breaks ties.
    `x_edges` has one entry more than the row.
    """
    for x in range(codes.size):
        best = x_edges[x]
        code = np.uint8(0)
        code = np.uint8(1) if y_low[x] > best else code
        best = max(y_low[x], best)
        code = np.uint8(2) if z_low[x] > best else code
        best = max(z_low[x], best)
        code = np.uint8(3) if x_edges[x + 1] > best else code
        best = max(x_edges[x + 1], best)
        code = np.uint8(4) if y_high[x] > best else code
        best = max(y_high[x], best)
        code = np.uint8(5) if z_high[x] > best else code
        best = max(z_high[x], best)
        codes[x] = code if best > low else np.uint8(6)
        weights[x] = best


@compiled
def _row_joins(
    x_edges: NDArray[Any],
    y_low: NDArray[Any],
    z_low: NDArray[Any],
    high: Any,
    row: NDArray[np.uint8],
    row_y: NDArray[np.uint8],
    row_z: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> None:
    """Which of its lower neighbours each voxel of a row is joined to, as bits 0, 1, 2.

    `row`, `row_y`, `row_z` are the directions of this row, of the one before it in y, and in z, each
    with one entry before its first voxel.
    """
    for x in range(out.size):
        code = row[x + 1]
        along_x = (code == 0) | (row[x] == 3) | (x_edges[x] >= high)
        along_y = (code == 1) | (row_y[x + 1] == 4) | (y_low[x] >= high)
        along_z = (code == 2) | (row_z[x + 1] == 5) | (z_low[x] >= high)
        bits = np.uint8(along_x) | (np.uint8(along_y) << np.uint8(1)) | (np.uint8(along_z) << np.uint8(2))
        out[x] = np.uint8(0x80) if code == 6 else bits


@compiled
def joins(
    w: NDArray[Any],
    sizes: NDArray[np.int64],
    strides: NDArray[np.int64],
    ends: NDArray[np.bool_],
    low: Any,
    high: Any,
    out: NDArray[np.uint8],
    up_x: NDArray[np.uint8],
    up_y: NDArray[np.uint8],
    up_z: NDArray[np.uint8],
) -> None:
    """Every voxel's joins to its lower neighbours, and which voxels of upper faces join beyond.

    `out[voxel]` has bits 0, 1, 2 for x, y, z, or is `BACKGROUND`. `up_*` are 1 where the steepest
    edge leaves the chunk upwards. `ends` says for low x, y, z and high x, y, z that the volume, not
    only the chunk, ends there.
    """
    nx, ny, nz = sizes[0], sizes[1], sizes[2]
    sx, sxy, sxyz = strides[0], strides[1], strides[2]
    nothing = np.zeros(nx, w.dtype)
    x_edges = np.zeros(nx + 1, w.dtype)
    weights = np.empty(nx, w.dtype)
    outside = np.full(nx + 1, NO_DIRECTION, np.uint8)
    codes = np.full((2, ny, nx + 1), NO_DIRECTION, np.uint8)
    for z in range(nz):
        for y in range(ny):
            row = y * sx + z * sxy
            x_edges[:nx] = w[row : row + nx]
            if ends[0]:
                x_edges[0] = 0
            x_edges[nx] = 0 if ends[3] else w[row + nx]
            at_y, at_z = sxyz + row, 2 * sxyz + row
            y_low = nothing if y == 0 and ends[1] else w[at_y : at_y + nx]
            z_low = nothing if z == 0 and ends[2] else w[at_z : at_z + nx]
            y_high = nothing if y == ny - 1 and ends[4] else w[at_y + sx : at_y + sx + nx]
            z_high = nothing if z == nz - 1 and ends[5] else w[at_z + sxy : at_z + sxy + nx]
            here = codes[z & 1, y]
            steepest(x_edges, y_low, z_low, y_high, z_high, low, here[1:], weights)
            before_y = outside if y == 0 else codes[z & 1, y - 1]
            before_z = outside if z == 0 else codes[(z + 1) & 1, y]
            at = (y + z * ny) * nx
            _row_joins(x_edges, y_low, z_low, high, here, before_y, before_z, out[at : at + nx])
            up_x[y + z * ny] = here[nx] == 3
            if y == ny - 1:
                up_y[z * nx : z * nx + nx] = here[1:] == 4
            if z == nz - 1:
                up_z[y * nx : y * nx + nx] = here[1:] == 5


@compiled
def _row_links(
    row: NDArray[np.uint8],
    row_y: NDArray[np.uint8],
    row_z: NDArray[np.uint8],
    row_yz: NDArray[np.uint8],
    inside: Any,
    starts: NDArray[np.uint8],
    links_y: NDArray[np.uint8],
    links_z: NDArray[np.uint8],
) -> None:
    """Where runs of x-joined voxels start in a row, and which joins to the rows before are needed.

    The rows are joins, each with an entry of 0 before its first voxel: this row, the one before it
    in y, in z, and in both. A join is not needed when the other three sides of a square of voxels
    are joined too; dropping all these at once is safe, since each leans on earlier voxels only.
    """
    for x in range(starts.size):
        here, before = row[x + 1] & inside, row[x] & inside
        along_x = here & np.uint8(1)
        through_x = before & (((row_y[x + 1] & along_x) << np.uint8(1)) | ((row_z[x + 1] & along_x) << np.uint8(2)))
        through_y = ((here & row_z[x + 1] & np.uint8(2)) << np.uint8(1)) & row_y[x + 1]
        needed = here & ~(through_x | through_y)
        links_y[x] = (needed >> np.uint8(1)) & np.uint8(1)
        links_z[x] = (needed >> np.uint8(2)) & np.uint8(1)
        starts[x] = (along_x | (here >> np.uint8(7))) ^ np.uint8(1)


@compiled
def components(
    joined: NDArray[np.uint8],
    sizes: NDArray[np.int64],
    labels: NDArray[np.uint32],
    parent: NDArray[np.uint32],
    voxels: NDArray[np.uint32],
    first: NDArray[np.uint32],
) -> int:
    """Provisional labels 1, 2, ... of the basins by one scan; returns how many.

    `parent` becomes their union-find, `voxels` their sizes and `first` their first voxels. These need
    room for one label more than there are voxels, of which a fifth is used at most on real maps. A
    set's smallest label is the one its first voxel got. Label 0 is background. Runs of x-joined voxels
    get one label; no loop over voxels has a branch.
    """
    nx, ny, nz = sizes[0], sizes[1], sizes[2]
    parent[0], voxels[0], first[0] = 0, 0, 0
    count = np.uint64(0)
    joins_of = np.zeros((2, ny + 1, nx + 1), np.uint8)
    starts, links_y, links_z = np.empty(nx, np.uint8), np.empty(nx, np.uint8), np.empty(nx, np.uint8)
    run_of, begin, length = np.empty(nx, np.uint32), np.empty(nx + 1, np.uint32), np.empty(nx + 1, np.uint32)
    name, run, source = np.empty(nx + 1, np.uint32), np.empty(2 * nx + 1, np.uint32), np.empty(2 * nx + 1, np.int64)
    left, right = np.empty(2 * nx + 1, np.uint32), np.empty(2 * nx + 1, np.uint32)
    for z in range(nz):
        for y in range(ny):
            at = (y + z * ny) * nx
            row = joins_of[z & 1, y + 1]
            row[1:] = joined[at : at + nx]
            row[1] &= np.uint8(0xFE)
            inside = np.uint8(0x81) | (np.uint8(2) if y > 0 else np.uint8(0)) | (np.uint8(4) if z > 0 else np.uint8(0))
            row_yz = joins_of[(z + 1) & 1, y]
            row_z = joins_of[(z + 1) & 1, y + 1]
            _row_links(row, joins_of[z & 1, y], row_z, row_yz, inside, starts, links_y, links_z)

            runs, lived = np.uint64(0), np.uint32(0)
            for x in range(nx):
                begin[runs], length[runs] = x, lived
                runs += starts[x]
                alive = np.uint32((row[x + 1] >> np.uint8(7)) ^ np.uint8(1))
                lived += alive
                run_of[x] = np.uint32(runs) * alive
            length[runs] = lived
            links = np.uint64(0)
            for x in range(nx):
                run[links], source[links] = run_of[x], at + x - nx
                links += links_y[x]
            for x in range(nx):
                run[links], source[links] = run_of[x], at + x - nx * ny
                links += links_z[x]

            name[: runs + np.uint64(1)] = 0
            unions = np.uint64(0)
            for i in range(links):
                other = labels[source[i]]
                own = name[run[i]]
                own = other if own == 0 else own
                name[run[i]] = own
                left[unions], right[unions] = own, other
                unions += np.uint64(own != other)
            for i in range(unions):
                union(parent, left[i], right[i])
            for r in range(runs):
                fresh = name[r + np.uint64(1)] == 0
                following = count + np.uint64(1)
                parent[following], first[following], voxels[following] = following, at + begin[r], 0
                count += np.uint64(fresh)
                own = np.uint32(count) if fresh else name[r + np.uint64(1)]
                name[r + np.uint64(1)] = own
                voxels[own] += length[r + np.uint64(1)] - length[r]
            for x in range(nx):
                labels[at + x] = name[run_of[x]]
    return int(count)


@compiled
def flatten(parent: NDArray[np.uint32], voxels: NDArray[np.uint32], first: NDArray[np.uint32]) -> int:
    """Turn a union-find into final labels 1, 2, ... in the order of first voxels; returns how many.

    `voxels` and `first` become those of the final labels, at the front.
    """
    count = np.uint32(0)
    for label in range(1, parent.size):
        own = voxels[label]
        if parent[label] == label:
            count += np.uint32(1)
            parent[label], first[count], voxels[count] = count, first[label], own
        else:
            parent[label] = parent[parent[label]]
            voxels[parent[label]] += own
    return int(count)
