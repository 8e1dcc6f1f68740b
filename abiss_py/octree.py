"""The octree in memory: many chunks become one region, and one array becomes a segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.agglomeration import Vetoes, agglomerate
from abiss_py.clusters import Clusters, count_classes
from abiss_py.constraints import Constraint
from abiss_py.contacts import Contacts
from abiss_py.dtypes import affinity_type
from abiss_py.errors import ArgumentError
from abiss_py.place import Place, Triple
from abiss_py.relabel import Mapping
from abiss_py.seams import seams_of_grid
from abiss_py.stitching import merge_regions
from abiss_py.watershed import ChunkWatershed, WatershedRules, watershed_chunk

Int64s = NDArray[np.int64]


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
    if affinities.size == 0:
        empty = np.zeros((nx, ny, nz), np.uint64, order="F")
        return Segmentation(empty, empty, Contacts.empty(), Contacts.empty(), Vetoes.join([]))
    chunks = _watershed(affinities, rules, (nx, ny, nz), chunk_size or (nx, ny, nz))
    seams = [seam for _, _, seam in seams_of_grid({at: chunk.faces for at, chunk in chunks.items()}, kind)]
    merge = merge_regions([chunk.region for chunk in chunks.values()], seams, rules, kind)
    ids = {at: merge.mapping.follow(chunk.keys) for at, chunk in chunks.items()}
    contacts = {at: c.contacts.renamed(ids[at][c.contacts.a], ids[at][c.contacts.b]) for at, c in chunks.items()}

    across = Contacts.join([seam.contacts for seam in seams])
    across = across.renamed(merge.mapping.follow(across.a), merge.mapping.follow(across.b))
    clusters = dict.fromkeys(chunks, Clusters.empty(len(class_names)))
    if constraints:
        clusters = {at: _clusters(chunk, ids[at], semantic, len(class_names)) for at, chunk in chunks.items()}
    open_ids = {at: _face_ids(chunk, merge.mapping) for at, chunk in chunks.items()}
    decide = partial(
        agglomerate, threshold=threshold, scale=kind.scale, constraints=constraints, class_names=class_names
    )
    parts = [decide(contacts[at], clusters[at], open_ids[at]) for at in chunks]
    inside = Mapping.union([part.mapping for part in parts])
    left = Contacts.join([across, *(part.contacts for part in parts)])
    left = left.renamed(inside.follow(left.a), inside.follow(left.b))
    root = decide(left, Clusters.join([part.clusters for part in parts]), np.zeros(0, np.int64))

    supervoxels = np.zeros((nx, ny, nz), np.uint64, order="F")
    segments = np.zeros_like(supervoxels)
    for at, chunk in chunks.items():
        place = chunk.region.place
        cut = tuple(slice(a, b) for a, b in zip(place.minimum, place.maximum, strict=True))
        supervoxels[cut] = ids[at].astype(np.uint64)[chunk.labels]
        segments[cut] = root.mapping.follow(inside.follow(ids[at])).astype(np.uint64)[chunk.labels]
    graph = Contacts.join([across, *contacts.values()])
    joins = Contacts.join([*(part.joins for part in parts), root.joins])
    vetoes = Vetoes.join([*(part.vetoes for part in parts), root.vetoes])
    return Segmentation(supervoxels, segments, graph.renamed(graph.a, graph.b), joins, vetoes)


def _watershed(
    affinities: NDArray[Any], rules: WatershedRules, whole: Triple, chunk: Triple
) -> dict[Triple, ChunkWatershed]:
    """The watershed of every chunk of the volume, by its place in the grid."""
    chunks = {}
    grid = (range(-(-n // c)) for n, c in zip(whole, chunk, strict=True))
    for at in product(*grid):
        low = tuple(i * c for i, c in zip(at, chunk, strict=True))
        high = tuple(min(a + c, n) for a, c, n in zip(low, chunk, whole, strict=True))
        place = Place((low[0], low[1], low[2]), (high[0], high[1], high[2]), whole)
        cut = tuple(slice(a, a + n) for a, n in zip(low, place.padded, strict=True))
        chunks[(at[0], at[1], at[2])] = watershed_chunk(affinities[cut], rules, place)
    return chunks


def _clusters(chunk: ChunkWatershed, ids: Int64s, semantic: NDArray[Any] | None, classes: int) -> Clusters:
    """The rows of a chunk's supervoxels, with the voxels they have in the chunk."""
    counts = np.zeros((ids.size, classes), np.int64)
    if semantic is not None:
        place = chunk.region.place
        cut = tuple(slice(a, b) for a, b in zip(place.minimum, place.maximum, strict=True))
        counts = count_classes(chunk.labels, semantic[cut], ids.size, classes)
    return Clusters.summed(ids, chunk.voxels, (ids == chunk.keys).astype(np.int64), counts)


def _face_ids(chunk: ChunkWatershed, names: Mapping) -> Int64s:
    """The supervoxels at a chunk's inner faces: their contacts are not all known there."""
    return names.follow(Mapping.union(list(chunk.region.faces.values())).values)
