"""The two steps of an export to PyChunkedGraph, each for one chunk: its supervoxels, and the edges of these.

A supervoxel of the run that several chunks share becomes one *piece* in each, and pieces are the supervoxels of the
graph. The first step numbers a chunk's pieces by the ids of their supervoxels, writes them to the layer `watershed`,
and notes in the table `pieces/X_Y_Z` what each is. The second step counts voxel edges between pieces. Both go through
a chunk slab by slab, and add whole numbers, so that no slab, order or process changes a byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py import Contacts, Mapping, affinity_type
from abiss_py.segment_statistics import segment_sums
from seuron.box import Box, Triple, triple
from seuron.engine.run import Run
from seuron.errors import VolumeError
from seuron.pipelines.segmentation.affinity_input import read_affinities
from seuron.pipelines.segmentation.exports.chunk_ids import ChunkIds
from seuron.pipelines.segmentation.exports.chunk_messages import (
    ChunkEdges,
    components_file,
    components_name,
    edges_name,
    packed_edges,
)
from seuron.pipelines.segmentation.facts import SegmentationRun, affinity_dtype
from seuron.pipelines.segmentation.layers import affinity_mip
from seuron.storage import Storage, join
from seuron.storage.tables import Table, read_table, write_table
from seuron.volumes import Volume, open_volume

Int64s = NDArray[np.int64]
Labels = NDArray[np.uint64]

#: Voxels that a process goes through at once, where a block of the layer is not larger: it stays below 1 GB then.
SLAB_VOXELS = 2**22
#: The table of a chunk's pieces.
PIECE_COLUMNS = ("piece", "supervoxel", "segment", "voxels")


@dataclass(frozen=True)
class ChunkExport:
    """A run, the folder that it is exported to, and how it is cut."""

    output: str
    target: str
    ids: ChunkIds
    block_size: Triple

    def run(self) -> SegmentationRun:
        """The run that is exported."""
        return Run.open(self.output)

    def layer(self) -> Volume:
        """The layer of pieces."""
        return open_volume(join(self.target, "watershed"))

    def slabs(self, chunk: Box) -> Iterator[Box]:
        """Parts of a chunk, whole blocks of the layer, in the order of z."""
        section = prod(chunk.shape[:2])
        thickness = max(1, SLAB_VOXELS // (section * self.block_size[2])) * self.block_size[2]
        return (slab for _, slab in chunk.cells((chunk.shape[0], chunk.shape[1], thickness)))

    def pieces(self, place: Triple) -> Table:
        """The table of a chunk's pieces, in the order of their numbers."""
        return read_table(Storage(join(self.target, "pieces")), _table(place))


def write_pieces(export: ChunkExport, place: Triple) -> tuple[int, int]:
    """The first step, for the chunk at a place; returns its pieces and voxels."""
    run, chunk, layer = export.run(), export.ids.chunk(place), export.layer()
    supervoxels, segmentation = (open_volume(run.layer(name)) for name in ("supervoxels", "segmentation"))
    ids = np.zeros(0, np.uint64)
    for slab in export.slabs(chunk):
        ids = np.union1d(ids, segment_sums(supervoxels.read(slab)[..., 0]).ids)
    if ids.size >= 2**export.ids.number_bits:
        raise VolumeError(
            f"the chunk {place} has {ids.size} supervoxels, and an id {export.ids.number_bits} bits for their numbers; "
            "export with a smaller --chunk-size"
        )
    first = export.ids.chunk_id(place)
    keys = ids.astype(np.int64)
    numbers = Mapping(keys, np.arange(1, 1 + ids.size))
    segments, voxels = np.zeros(1 + ids.size, np.int64), np.zeros(1 + ids.size, np.int64)
    for slab in export.slabs(chunk):
        found = numbers.follow(_flat(supervoxels, slab))
        segments[found] = _flat(segmentation, slab)
        voxels += np.bincount(found, minlength=voxels.size)
        pieces = np.where(found == 0, 0, first + found).astype(np.uint64)
        layer.write(slab, pieces.reshape(slab.shape, order="F"))
    columns = (first + numbers.values, keys, segments[1:], voxels[1:])
    write_table(Storage(join(export.target, "pieces")), _table(place), dict(zip(PIECE_COLUMNS, columns, strict=True)))
    return ids.size, chunk.voxels


def write_edges(export: ChunkExport, place: Triple) -> tuple[int, int]:
    """The second step, once all chunks have had the first; returns how many pieces have no edge, and the voxels."""
    run = export.run()
    contacts = Contacts.join([_contacts(export, run, slab, place) for slab in export.slabs(export.ids.chunk(place))])
    contacts = contacts.renamed(contacts.a, contacts.b)
    known = _Pieces(export)
    edges = _by_kind(contacts, export.ids, export.ids.chunk_id(place), known, _scale(run))
    own = export.pieces(place)
    touching = [ids for found in edges.values() for ids in (found.ids1, found.ids2)]
    pieces = np.unique(np.concatenate([own["piece"], *touching]))
    target = Storage(export.target)
    if any(map(len, edges.values())):
        target.put(f"edges/{edges_name(place)}", packed_edges(edges))
    if pieces.size:
        target.put(f"components/{components_name(place)}", components_file(pieces, known("segment", pieces)))
    alone = np.setdiff1d(own["piece"], np.concatenate(touching))
    return alone.size, export.ids.chunk(place).voxels


def _contacts(export: ChunkExport, run: SegmentationRun, slab: Box, place: Triple) -> Contacts:
    """The contacts through the voxel edges that a slab's voxels have with those before them.

    At a face where the slab's chunk ends, those of the voxels behind it with the slab's as well.
    """
    chunk, whole = export.ids.chunk(place), run.facts.box
    ends = triple([int(end == last) for end, last in zip(slab.maximum, chunk.maximum, strict=True)])
    seen = slab.grown((1, 1, 1), ends).intersect(whole)
    pieces = export.layer().read(seen)[..., 0]
    affinities = read_affinities(run, open_volume(run.layer("affinities"), affinity_mip(run)), seen)
    parts = []
    for axis in range(3):
        step = triple([int(other == axis) for other in range(3)])
        above = slab.grown((0, 0, 0), triple([s * e for s, e in zip(step, ends, strict=True)])).intersect(whole)
        below = above.shifted([-s for s in step]).intersect(whole)
        above = below.shifted(step)
        weights = affinities[(*above.within(seen), axis)]
        parts.append(_touching(pieces[below.within(seen)], pieces[above.within(seen)], weights, _scale(run)))
    contacts = Contacts.join(parts)
    return contacts.renamed(contacts.a, contacts.b)


def _touching(below: Labels, above: Labels, weights: NDArray[Any], scale: int) -> Contacts:
    """The contacts of voxels with those before them along one axis, a row for each voxel edge."""
    at = np.nonzero((below != above) & (below != 0) & (above != 0))
    steps = weights[at]
    total = steps.astype(np.int64) if steps.dtype == np.uint8 else np.rint(steps.astype(np.float64) * scale)
    ones = np.ones(steps.size, np.int64)
    return Contacts(below[at].astype(np.int64), above[at].astype(np.int64), total.astype(np.int64), ones, 0 * ones)


def _by_kind(contacts: Contacts, ids: ChunkIds, chunk_id: int, known: _Pieces, scale: int) -> dict[str, ChunkEdges]:
    """A chunk's edges as PyChunkedGraph tells them apart, the chunk's own piece first, sorted.

    `cross_chunk` are those that cutting a supervoxel made: they are one whatever happens, and have the affinity
    infinity and the area 1, as in PyChunkedGraph's own.
    """
    swapped = ids.chunk_of(contacts.a) != chunk_id
    own, other = np.where(swapped, contacts.b, contacts.a), np.where(swapped, contacts.a, contacts.b)
    inside = ids.chunk_of(other) == chunk_id
    cut = known("supervoxel", own) == known("supervoxel", other)
    found = {}
    for kind, rows in (("in_chunk", inside), ("cross_chunk", cut), ("between_chunk", ~inside & ~cut)):
        at = np.flatnonzero(rows)
        at = at[np.lexsort((other[at], own[at]))]
        sums, areas = (contacts.total[at] / scale).astype(np.float32), contacts.count[at]
        if kind == "cross_chunk":
            sums, areas = np.full(at.size, np.inf, np.float32), np.ones(at.size, np.int64)
        found[kind] = ChunkEdges(own[at], other[at], sums, areas)
    return found


class _Pieces:
    """What pieces are, of chunks whose tables are read when they are first asked for."""

    def __init__(self, export: ChunkExport) -> None:
        self._export = export
        self._tables: dict[int, Table] = {}

    def __call__(self, column: str, pieces: Int64s) -> Int64s:
        """A column of the pieces' tables."""
        ids, found = self._export.ids, np.zeros(pieces.size, np.int64)
        chunks = ids.chunk_of(pieces)
        for chunk_id in np.unique(chunks).tolist():
            if chunk_id not in self._tables:
                self._tables[chunk_id] = self._export.pieces(ids.place_of(chunk_id))
            at = chunks == chunk_id
            found[at] = self._tables[chunk_id][column][ids.numbers(pieces[at]) - 1]
        return found


def _flat(volume: Volume, box: Box) -> Int64s:
    """The labels of a box, x fastest."""
    return volume.read(box)[..., 0].ravel(order="F").astype(np.int64)


def _scale(run: SegmentationRun) -> int:
    return affinity_type(affinity_dtype(run.params, run.facts)).scale


def _table(place: Triple) -> str:
    return "_".join(map(str, place))
