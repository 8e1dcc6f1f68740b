"""The octree in memory: many chunks become one region, and one array becomes a segmentation."""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.agglomeration import agglomerate
from abiss_py.contacts import Contacts
from abiss_py.dtypes import AffinityType, affinity_type
from abiss_py.errors import ArgumentError
from abiss_py.place import Place, Triple
from abiss_py.relabel import Mapping
from abiss_py.stitching import Merge, Region, merge_regions
from abiss_py.watershed import ChunkWatershed, WatershedRules, watershed_chunk

Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class Segmentation:
    """Supervoxels and segments of a volume, uint64 (X, Y, Z), Fortran order.

    An id is 1 + the linear index (x fastest) of the first voxel that has it; 0 is background.
    `contacts` is the region graph of the supervoxels, `joins` the merge tree.
    """

    supervoxels: NDArray[np.uint64]
    segments: NDArray[np.uint64]
    contacts: Contacts
    joins: Contacts


def merge_grid(regions: MappingType[Triple, Region], rules: WatershedRules, kind: AffinityType) -> Merge:
    """Join a grid of regions, two along each axis at a time, until one is left.

    `regions` go by their place in the grid. The mapping and the contacts that come back are those of
    all levels together, under the last names.
    """
    level = dict(regions)
    start = np.concatenate([region.keys for region in level.values()])
    start.sort()
    names, contacts = start, Contacts.empty()
    while len(level) > 1:
        groups: dict[Triple, list[Region]] = {}
        for (x, y, z), region in level.items():
            groups.setdefault((x // 2, y // 2, z // 2), []).append(region)
        merges = {at: merge_regions(group, rules, kind) for at, group in groups.items() if len(group) > 1}
        level = {at: merges[at].region if at in merges else group[0] for at, group in groups.items()}
        if not merges:
            continue
        mapping = Mapping.of(
            np.concatenate([merge.mapping.keys for merge in merges.values()]),
            np.concatenate([merge.mapping.values for merge in merges.values()]),
        )
        names = mapping.follow(names)
        tables = Contacts.join([contacts, *(merge.contacts for merge in merges.values())])
        contacts = tables.renamed(mapping.follow(tables.a), mapping.follow(tables.b))
    region = next(iter(level.values()))
    return Merge(region, Mapping(start, names), contacts)


def segment(
    affinities: NDArray[Any],
    *,
    high: float,
    low: float,
    size: int,
    dust: int,
    threshold: float,
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
        chunk_size: work in chunks of this size; the result is the same, bit for bit.

    Raises ArgumentError and AffinityError for what it cannot take. The method is that of
    arXiv 2106.10795; docs/algorithm.md says exactly what is computed.
    """
    rules = WatershedRules(high, low, size, dust)
    if affinities.ndim != 4 or affinities.shape[3] != 3:
        raise ArgumentError(f"affinities have the shape {affinities.shape}; expected (X, Y, Z, 3)")
    kind = affinity_type(affinities.dtype)
    nx, ny, nz, _ = affinities.shape
    if affinities.size == 0:
        empty = np.zeros((nx, ny, nz), np.uint64, order="F")
        return Segmentation(empty, empty, Contacts.empty(), Contacts.empty())
    chunks = _watershed(affinities, rules, (nx, ny, nz), chunk_size or (nx, ny, nz))
    merge = merge_grid({at: chunk.region for at, chunk in chunks.items()}, rules, kind)
    ids = {at: merge.mapping.follow(chunk.keys) for at, chunk in chunks.items()}
    contacts = {at: c.contacts.renamed(ids[at][c.contacts.a], ids[at][c.contacts.b]) for at, c in chunks.items()}

    parts = [agglomerate(contacts[at], _face_ids(chunks[at], ids[at]), threshold, kind.scale) for at in chunks]
    inside = Mapping.of(*_concatenated([part.mapping for part in parts]))
    left = Contacts.join([merge.contacts, *(part.contacts for part in parts)])
    left = left.renamed(inside.follow(left.a), inside.follow(left.b))
    root = agglomerate(left, np.zeros(0, np.int64), threshold, kind.scale)

    supervoxels = np.zeros((nx, ny, nz), np.uint64, order="F")
    segments = np.zeros_like(supervoxels)
    for at, chunk in chunks.items():
        place = chunk.region.place
        cut = tuple(slice(a, b) for a, b in zip(place.minimum, place.maximum, strict=True))
        supervoxels[cut] = ids[at].astype(np.uint64)[chunk.labels]
        segments[cut] = root.mapping.follow(inside.follow(ids[at])).astype(np.uint64)[chunk.labels]
    graph = Contacts.join([merge.contacts, *contacts.values()])
    joins = Contacts.join([*(part.joins for part in parts), root.joins])
    return Segmentation(supervoxels, segments, graph.renamed(graph.a, graph.b), joins)


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


def _face_ids(chunk: ChunkWatershed, ids: Int64s) -> Int64s:
    """The supervoxels at a chunk's inner faces: their contacts are not all known there."""
    keys = [face.keys.ravel() for face in chunk.region.faces.values()]
    if not keys:
        return np.zeros(0, np.int64)
    return Mapping(chunk.keys[1:], ids[1:]).follow(np.unique(np.concatenate(keys)))


def _concatenated(mappings: list[Mapping]) -> tuple[Int64s, Int64s]:
    keys, values = [m.keys for m in mappings], [m.values for m in mappings]
    return np.concatenate(keys), np.concatenate(values)
