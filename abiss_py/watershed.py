"""Watershed of one chunk, as far as the chunk can decide it.

The chunk's array holds one voxel more beyond each upper face behind which the volume goes on, so
that all six edges of each of its voxels are known. Of those extra voxels only the edges back into
the chunk are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.contacts import Contacts
from abiss_py.errors import ArgumentError
from abiss_py.grid import Grid
from abiss_py.kernels import absorption, boruvka, region_graph, simd, spanning_forest, watershed
from abiss_py.kernels.watershed import INDEX_MASK
from abiss_py.place import Place
from abiss_py.region_merge import Edges, Region
from abiss_py.relabel import Mapping
from abiss_py.seams import Face, Faces
from abiss_py.spanning_forest import Basins, edges_that_matter

Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class WatershedRules:
    """The parameters of the watershed: affinities `high` and `low`, voxel counts `size` and `dust`."""

    high: float
    low: float
    size: int
    dust: int

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 1:
            raise ArgumentError(f"low is {self.low} and high {self.high}; allowed is 0 <= low < high <= 1")
        if self.size < 0 or self.dust < 0:
            raise ArgumentError(f"size is {self.size} and dust {self.dust}; allowed are 0 voxels or more")


@dataclass(frozen=True)
class ChunkWatershed:
    """What a chunk knows after its own watershed.

    `labels` (X, Y, Z) uint32 numbers the chunk's clusters 1, 2, ... in the order of their first
    voxels. `keys[label]` is 1 + the index of that voxel in the volume, `voxels[label]` the cluster's
    size (both 0 at label 0, background). `boxes[label]` (2, 3) are the first voxel and the one after
    the last along x, y, z, counted from the chunk's corner. `contacts` are between labels, inside the
    chunk, and `strongest` has the weight of each one's strongest edge (uint8 as it is, float32 as bits).
    `faces` are the planes at the chunk's inner faces, `region` what goes up the octree: the clusters
    that are not decided yet.
    """

    labels: NDArray[np.uint32]
    keys: Int64s
    voxels: Int64s
    boxes: NDArray[np.int32]
    contacts: Contacts
    strongest: NDArray[np.uint32]
    faces: Faces
    region: Region
    basins: int


def watershed_chunk(affinities: NDArray[Any], rules: WatershedRules, place: Place) -> ChunkWatershed:
    """Watershed, size rule and contacts of one chunk.

    `affinities` is (X, Y, Z, 3) uint8 or float32 with the shape `place.padded`. Raises ArgumentError
    for another shape or type, AffinityError for values that are not from 0 to 1.
    """
    grid = Grid.of(affinities, rules.low, rules.high, place)
    joined, up = _joins(grid)
    basins = _basins(grid, rules.size, joined)
    forest = edges_that_matter(grid, basins, rules.size)
    is_open = _touching(basins.labels, basins.voxels.size, place)
    parent = np.arange(basins.voxels.size, dtype=np.uint32)
    voxels, undecided = basins.voxels.copy(), np.zeros(forest.keys.size, np.bool_)
    absorption.absorb(forest.a, forest.b, rules.size, parent, voxels, is_open, undecided)

    cluster, tops = (np.empty(parent.size, np.uint32) for _ in range(2))
    tops = tops[: absorption.number_clusters(parent, voxels, is_open, rules.dust, cluster, tops)]
    # From here on the labels are clusters.
    contacts, strongest, boxes = _contacts(grid, cluster, tops.size, basins.labels)

    keys = np.concatenate([[0], 1 + place.voxel_index(basins.first[tops])])
    sizes = np.concatenate([[0], voxels[tops]])
    carried = 1 + np.flatnonzero(is_open[tops])
    labels = basins.labels.reshape(place.shape, order="F")
    a, b = (keys[cluster[ends[undecided]]] for ends in (forest.a, forest.b))
    faces = _faces(grid, keys, labels, joined.reshape(place.shape, order="F"), up)
    region = Region(
        place=place,
        keys=keys[carried],
        voxels=sizes[carried],
        edges=_edges(forest.keys[undecided], a, b, place),
        faces={face: _clusters_at(_plane(labels, *face), keys) for face in place.inner_faces},
    )
    return ChunkWatershed(labels, keys, sizes, boxes, contacts, strongest, faces, region, basins.voxels.size - 1)


def _joins(grid: Grid) -> tuple[NDArray[np.uint8], list[NDArray[np.uint8]]]:
    """The map of joins (flat), and for each axis the plane of steepest edges that leave upwards."""
    nx, ny, nz = grid.place.shape
    joined = np.empty(nx * ny * nz, np.uint8)
    up = [np.empty(shape, np.uint8, order="F") for shape in ((ny, nz), (nx, nz), (nx, ny))]
    inner = grid.place.inner_faces
    ends = np.array([(axis, side) not in inner for side in (0, 1) for axis in range(3)])
    flat = [plane.reshape(-1, order="F") for plane in up]
    watershed.joins(grid.w, grid.sizes, grid.strides, ends, grid.low, grid.high, joined, *flat)
    return joined, up


def _basins(grid: Grid, size: int, joined: NDArray[np.uint8]) -> Basins:
    labels = np.empty(joined.size, np.uint32)
    # Only as much of these is ever touched, and takes memory, as there are labels.
    final, voxels, first = (np.empty(joined.size + 1, np.uint32) for _ in range(3))
    provisional = watershed.components(joined, grid.sizes, labels, final, voxels, first)
    final = final[: provisional + 1]
    count = watershed.flatten(final, voxels, first)
    best = np.zeros(count + 1, np.uint64)
    limit = np.where(voxels[: count + 1] < size, grid.weakest, spanning_forest.STRONGEST)
    nothing = np.empty(0, np.uint32), np.empty(0, np.uint64)
    boruvka.strongest_leaving(grid.w, grid.sizes, grid.strides, grid.low, labels, final, True, limit, best, *nothing)
    return Basins(labels, voxels[: count + 1].astype(np.int64), first[: count + 1].astype(np.int64), best)


def _plane(volume: NDArray[Any], axis: int, side: int) -> NDArray[Any]:
    """The voxels of a volume (X, Y, Z) at one of its faces."""
    at = 0 if side == 0 else volume.shape[axis] - 1
    # Not `take`, which copies the whole of an array that is not in C order first.
    plane: NDArray[Any] = volume[tuple(at if other == axis else slice(None) for other in range(3))]
    return plane


def _touching(labels: NDArray[np.uint32], count: int, place: Place) -> NDArray[np.bool_]:
    """Which labels have a voxel at an inner face."""
    found = np.zeros(count, np.bool_)
    volume = labels.reshape(place.shape, order="F")
    for axis, side in place.inner_faces:
        found[_plane(volume, axis, side)] = True
    found[0] = False
    return found


def _contacts(
    grid: Grid, cluster: NDArray[np.uint32], clusters: int, labels: NDArray[np.uint32]
) -> tuple[Contacts, NDArray[np.uint32], NDArray[np.int32]]:
    """Relabel in place from basins to clusters: their contacts, strongest edges and boxes."""
    is_bytes = grid.kind.dtype == np.uint8
    values, scale = (grid.w, None) if is_bytes else (grid.w.view(np.float32), float(grid.kind.scale))
    origin, whole = np.array(grid.place.minimum), np.array(grid.place.whole)
    corners = np.full((clusters + 1) * simd.CORNERS, simd.NOTHING, np.int32)
    rows = region_graph.contacts(
        grid.w, values, scale, grid.sizes, grid.strides, origin, whole, cluster, labels, corners, region_graph.STRIP
    )
    boxes = np.ascontiguousarray(corners.reshape(-1, 2, 4)[:, :, :3])
    np.negative(boxes[:, 1], out=boxes[:, 1])
    boxes[0] = 0
    rows = np.take(rows, np.argsort(np.ascontiguousarray(rows[:, region_graph.PAIR])), axis=0)
    pairs, both = rows[:, region_graph.PAIR], rows[:, region_graph.BOTH]
    found = Contacts(
        a=(pairs >> region_graph.HALF).astype(np.int64),
        b=(pairs & region_graph.LOWER).astype(np.int64),
        total=rows[:, region_graph.TOTAL].astype(np.int64),
        count=(both >> region_graph.HALF).astype(np.int64),
        first=rows[:, region_graph.FIRST].astype(np.int64),
    )
    return found, (both & region_graph.LOWER).astype(np.uint32), boxes


def _edges(keys: NDArray[np.uint64], a: Int64s, b: Int64s, place: Place) -> Edges:
    """Edges of a forest between clusters."""
    local = INDEX_MASK - (keys & np.uint64(INDEX_MASK)).astype(np.int64)
    weights = (keys >> np.uint64(32)).astype(np.uint32)
    return Edges(a, b, weights, place.edge_index(local))


def _faces(
    grid: Grid,
    keys: Int64s,
    labels: NDArray[np.uint32],
    joined: NDArray[np.uint8],
    up: list[NDArray[np.uint8]],
) -> Faces:
    """The planes through which the chunk will be stitched to its neighbours."""
    steps = (grid.w.itemsize, *(int(stride) * grid.w.itemsize for stride in grid.strides))
    padded = np.lib.stride_tricks.as_strided(grid.w, (*grid.place.padded, 3), steps)
    nx, ny, nz = grid.place.shape
    faces = {}
    for axis, side in grid.place.inner_faces:
        plane = keys[_plane(labels, axis, side)]
        if side == 1:
            faces[axis, side] = Face(plane, up[axis].astype(np.bool_), None)
        else:
            weights = _plane(padded[:nx, :ny, :nz, axis], axis, 0).astype(np.uint32)
            faces[axis, side] = Face(plane, _plane(joined, axis, 0) & (1 << axis) > 0, weights)
    return Faces(grid.place, faces)


def _clusters_at(plane: NDArray[np.uint32], keys: Int64s) -> Mapping:
    """The clusters at a face, by its labels; in their own chunk they are called what they are called."""
    met = np.zeros(keys.size, np.bool_)
    met[plane] = True
    met[0] = False
    return Mapping(keys[met], keys[met])
