"""The octree in memory: many chunks become one region, and one array becomes a segmentation."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.agglomeration import Agglomeration, Vetoes, agglomerate
from abiss_py.clusters import Clusters, count_classes
from abiss_py.constraints import Constraint
from abiss_py.contacts import Contacts
from abiss_py.dtypes import AffinityType, affinity_type
from abiss_py.errors import ArgumentError
from abiss_py.face_views import Closed, Side, close_seams, split_views
from abiss_py.kernels.paint import paint
from abiss_py.place import Place, Triple
from abiss_py.region_merge import Region
from abiss_py.relabel import Mapping
from abiss_py.seams import Seam, seam_of
from abiss_py.watershed import ChunkWatershed, WatershedRules, watershed_chunk

Int64s = NDArray[np.int64]
#: `agglomerate`, with all arguments but contacts, clusters and open ids.
Decide = Callable[[Contacts, Clusters, Int64s], Agglomeration]
#: What rules look at, of a chunk whose numbers have these ids.
RowsOf = Callable[[ChunkWatershed, Int64s], Clusters]

#: A plane of voxels costs this much more with all affinities below a half than with none: most is spent
#: between basins (docs/performance.md). Every so many voxels of it, along both axes, tell how many there are.
WEAK_COST = 3.0
SAMPLED = 16


@dataclass(frozen=True)
class Segmentation:
    """Supervoxels and segments of a volume, uint64 (X, Y, Z), Fortran order.

    An id is 1 + the linear index (x fastest) of the first voxel that has it; 0 is background.
    `contacts` is the region graph of the supervoxels, `joins` the merge tree, `vetoes` the contacts that
    a rule removed.
    """

    supervoxels: NDArray[np.uint64]
    segments: NDArray[np.uint64]
    contacts: Contacts
    joins: Contacts
    vetoes: Vetoes


def segment(
    affinities: NDArray[Any],
    *,
    high: float,
    low: float,
    size: int,
    dust: int,
    threshold: float,
    constraints: Sequence[Constraint] = (),
    semantic: NDArray[Any] | None = None,
    class_names: Sequence[str] = (),
    chunk_size: Triple | None = None,
    threads: int = 1,
) -> Segmentation:
    """Segment an affinity map in memory.

    Args:
        affinities: (X, Y, Z, 3), float32 from 0 to 1 or uint8 (value/255); channel c at voxel v is
            the affinity between v and v - e_c.
        high: voxels with an affinity of at least this are always of one supervoxel.
        low: affinities of at most this never join anything in the watershed.
        size: basins of fewer voxels are absorbed by a neighbour.
        dust: supervoxels of fewer voxels become background.
        threshold: supervoxels are joined while their mean affinity is above this.
        constraints: rules that may forbid a join (`abiss_py.constraints`).
        semantic: class number of every voxel, (X, Y, Z) unsigned integers, 0 for none.
        class_names: the names of class 1, 2, ...
        chunk_size: work in chunks of this size; the result is the same, bit for bit.
        threads: how many chunks are worked on at once; without a chunk_size, as many slabs along y or z, of
            about the same work.

    Raises ArgumentError and AffinityError for what it cannot take. The method is that of
    arXiv 2106.10795; docs/algorithm.md says exactly what is computed.
    """
    rules = WatershedRules(high, low, size, dust)
    if affinities.ndim != 4 or affinities.shape[3] != 3:
        raise ArgumentError(f"affinities have the shape {affinities.shape}; expected (X, Y, Z, 3)")
    kind = affinity_type(affinities.dtype)
    nx, ny, nz, _ = affinities.shape
    if semantic is not None and semantic.shape != (nx, ny, nz):
        raise ArgumentError(f"the semantic labels have the shape {semantic.shape}; expected {(nx, ny, nz)}")
    if threads < 1:
        raise ArgumentError(f"threads is {threads}; allowed are 1 or more")
    if affinities.size == 0:
        empty = np.zeros((nx, ny, nz), np.uint64, order="F")
        return Segmentation(empty, empty, Contacts.empty(), Contacts.empty(), Vetoes.join([]))
    ends = _chunk_ends((nx, ny, nz), chunk_size) if chunk_size else _slab_ends(affinities, threads)
    places = _places(ends)
    decide = partial(
        agglomerate, threshold=threshold, scale=kind.scale, constraints=constraints, class_names=class_names
    )
    rows_of: RowsOf = partial(_clusters, semantic=semantic, classes=len(class_names))
    if not constraints:
        rows_of = lambda chunk, ids: Clusters.empty(len(class_names))  # noqa: E731
    with ThreadPoolExecutor(threads) as pool:  # kernels let go of the interpreter's lock
        watersheds = pool.map(lambda place: _chunk(affinities, rules, place), places.values())
        supervoxels = np.empty((nx, ny, nz), np.uint64, order="F")
        segments = np.empty_like(supervoxels)
        # Threads that would wait for the last chunk, or for seams, have the system hand out memory meanwhile.
        handed_out = [pool.submit(_touch, layer) for layer in (supervoxels, segments)]
        found = dict(zip(places, watersheds, strict=True))
        chunks = {at: chunk for at, (chunk, _) in found.items()}
        views = {at: of_chunk for at, (_, of_chunk) in found.items()}
        stitched = _stitched(chunks, views, rules, kind, pool)
        # Both are begun before either is waited for.
        inner = pool.map(lambda at: _part(chunks[at], stitched.names_of_chunk(at), decide, rows_of), chunks)
        through_seams = pool.map(stitched.contacts, range(len(stitched.seams)))
        parts, across = list(inner), Contacts.join(list(through_seams))
        graph = pool.submit(_summed, [across, *(part.contacts for part in parts)])
        inside = Mapping.union([part.decided.mapping for part in parts])
        left = Contacts.join([across, *(part.decided.contacts for part in parts)])
        left = left.renamed(inside.follow(left.a), inside.follow(left.b))
        root = decide(left, Clusters.join([part.decided.clusters for part in parts]), np.zeros(0, np.int64))

        wait(handed_out)
        paint = partial(_paint, inside=inside, root=root.mapping, supervoxels=supervoxels, segments=segments)
        list(pool.map(paint, chunks.values(), parts))
    return Segmentation(
        supervoxels,
        segments,
        contacts=graph.result(),
        joins=Contacts.join([*(part.decided.joins for part in parts), root.joins]),
        vetoes=Vetoes.join([*(part.decided.vetoes for part in parts), root.vetoes]),
    )


@dataclass(frozen=True)
class _Stitched:
    """The seams between chunks, the numbers of those that each chunk has, and what closing them decided."""

    seams: list[Seam]
    met: dict[Triple, list[int]]
    closed: Closed

    def names_of_chunk(self, at: Triple) -> Mapping:
        return self.closed.names(self.met[at])

    def contacts(self, seam: int) -> Contacts:
        """The contacts through a seam, between supervoxels."""
        names, found = self.closed.names([seam]), self.seams[seam].contacts
        return found.renamed(names.follow(found.a), names.follow(found.b))


def _stitched(
    chunks: dict[Triple, ChunkWatershed],
    views: dict[Triple, dict[Side, Region]],
    rules: WatershedRules,
    kind: AffinityType,
    pool: ThreadPoolExecutor,
) -> _Stitched:
    meetings = list(_meetings(chunks))
    seams = list(pool.map(lambda met: seam_of(chunks[met[0]].faces, chunks[met[1]].faces, met[2], kind), meetings))
    pairs = (
        (views[below].pop((axis, 1)), views[above].pop((axis, 0)), seam)
        for (below, above, axis), seam in zip(meetings, seams, strict=True)
    )
    met: dict[Triple, list[int]] = {at: [] for at in chunks}
    for number, (below, above, _) in enumerate(meetings):
        met[below].append(number)
        met[above].append(number)

    def rest() -> Iterator[Region]:
        for of_chunk in views.values():
            yield from of_chunk.values()

    whole = next(iter(chunks.values())).region.place.whole
    closed = close_seams(pairs, rest(), Place.all_of(whole), rules, kind, over=pool.map)
    return _Stitched(seams, met, closed)


def _meetings(chunks: Iterable[Triple]) -> Iterator[tuple[Triple, Triple, int]]:
    """All neighbours in a grid of chunks: the place of the lower one, that of the upper one, their axis."""
    known = set(chunks)
    for x, y, z in chunks:
        for axis, below in enumerate(((x - 1, y, z), (x, y - 1, z), (x, y, z - 1))):
            if below in known:
                yield below, (x, y, z), axis


@dataclass(frozen=True)
class _Part:
    """A chunk's supervoxels: the id of each number, contacts between ids, what could be decided about them."""

    ids: Int64s
    contacts: Contacts
    decided: Agglomeration


def _summed(tables: Sequence[Contacts]) -> Contacts:
    joined = Contacts.join(tables)
    return joined.renamed(joined.a, joined.b)


def _chunk_ends(whole: Triple, chunk: Triple) -> tuple[list[int], ...]:
    """Where chunks of one size end, along each axis."""
    return tuple([min(end, n) for end in range(c, n + c, c)] for n, c in zip(whole, chunk, strict=True))


def _slab_ends(affinities: NDArray[Any], threads: int) -> tuple[list[int], ...]:
    """Where slabs end that take about equally long, by the share of weak affinities in each plane.

    They lie along y or z, whichever is longer: the fewer voxels at seams, the fewer clusters wait for them.
    """
    axis = 1 if affinities.shape[1] > affinities.shape[2] else 2
    half = 128 if affinities.dtype == np.uint8 else 0.5
    every = tuple(slice(None) if other == axis else slice(None, None, SAMPLED) for other in range(3))
    weak = np.mean(affinities[every] < half, axis=tuple({0, 1, 2, 3} - {axis}))
    work = np.cumsum(1 + WEAK_COST * weak)
    parts = np.searchsorted(work, work[-1] * np.arange(1, threads) / threads) + 1
    ends = [[n] for n in affinities.shape[:3]]
    ends[axis] = sorted({*parts.tolist(), *ends[axis]})
    return tuple(ends)


def _places(ends: Sequence[Sequence[int]]) -> dict[Triple, Place]:
    """Where the chunks of a volume lie, by their places in the grid, from where they end along each axis."""
    whole: Triple = (ends[0][-1], ends[1][-1], ends[2][-1])
    places = {}
    for x, y, z in product(*(range(len(along)) for along in ends)):
        high: Triple = (ends[0][x], ends[1][y], ends[2][z])
        low = tuple(along[i - 1] if i else 0 for along, i in zip(ends, (x, y, z), strict=True))
        places[x, y, z] = Place((low[0], low[1], low[2]), high, whole)
    return places


def _cut(place: Place) -> tuple[slice, slice, slice]:
    x, y, z = (slice(a, b) for a, b in zip(place.minimum, place.maximum, strict=True))
    return x, y, z


def _chunk(affinities: NDArray[Any], rules: WatershedRules, place: Place) -> tuple[ChunkWatershed, dict[Side, Region]]:
    """A chunk, and the views of what it leaves open."""
    cut = tuple(slice(a, a + n) for a, n in zip(place.minimum, place.padded, strict=True))
    chunk = watershed_chunk(affinities[cut], rules, place)
    return chunk, split_views(chunk.region)


def _part(chunk: ChunkWatershed, names: Mapping, decide: Decide, rows_of: RowsOf) -> _Part:
    """Decide what a chunk can about its supervoxels."""
    ids = names.follow(chunk.keys)
    contacts = chunk.contacts.renamed(ids[chunk.contacts.a], ids[chunk.contacts.b])
    at_faces = names.follow(Mapping.union(list(chunk.region.faces.values())).values)
    return _Part(ids, contacts, decide(contacts, rows_of(chunk, ids), at_faces))


def _touch(volume: NDArray[np.uint64]) -> None:
    """Have the system hand out a volume's memory, which it does, page by page, where it is first written to."""
    volume.reshape(-1, order="F")[:: mmap.PAGESIZE // volume.itemsize] = 0


def _paint(
    chunk: ChunkWatershed,
    part: _Part,
    inside: Mapping,
    root: Mapping,
    supervoxels: NDArray[np.uint64],
    segments: NDArray[np.uint64],
) -> None:
    """Write a chunk's voxels in both layers."""
    final = root.follow(inside.follow(part.ids))
    cut = _cut(chunk.region.place)
    paint(chunk.labels, part.ids.astype(np.uint64), final.astype(np.uint64), supervoxels[cut], segments[cut])


def _clusters(chunk: ChunkWatershed, ids: Int64s, semantic: NDArray[Any] | None, classes: int) -> Clusters:
    """The rows of a chunk's supervoxels, with the voxels they have in the chunk."""
    counts = np.zeros((ids.size, classes), np.int64)
    if semantic is not None:
        counts = count_classes(chunk.labels, semantic[_cut(chunk.region.place)], ids.size, classes)
    return Clusters.summed(ids, chunk.voxels, (ids == chunk.keys).astype(np.int64), counts)
