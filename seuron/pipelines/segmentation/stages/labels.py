"""Stage `labels`: every voxel's supervoxel and segment, written once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py import Mapping, paint
from seuron.box import Box, Triple
from seuron.engine.inputs import inputs_digest, tables_read
from seuron.engine.pipeline import Counts, Inputs
from seuron.engine.plan import Task
from seuron.pipelines.segmentation.chunks import (
    agglomeration_leaf,
    chunk_name,
    chunks_meeting,
    leaf_index,
    watershed_leaf,
)
from seuron.pipelines.segmentation.facts import SegmentationRun
from seuron.pipelines.segmentation.octree import watershed_octree
from seuron.pipelines.segmentation.plan import region_size
from seuron.pipelines.segmentation.stages.remap import FinalIds, LeafIds, segments_in
from seuron.storage.digests import digest_of_array
from seuron.storage.tables import read_table
from seuron.volumes import open_volume

Labels = NDArray[np.uint64]

LAYERS = ("supervoxels", "segmentation")


def inputs(run: SegmentationRun, task: Task) -> Inputs:
    """Each chunk's clusters and their voxels, and for each layer by itself what they are called in it."""
    read: dict[str, list[Any]] = {layer: [] for layer in LAYERS}
    names_of = _NamesOf(run)
    for index, _ in chunks_meeting(run, task.box):
        names = names_of(index)
        leaf = watershed_leaf(run, leaf_index(run, index))
        tables = tables_read(run, leaf.id, chunk_name("clusters", index), chunk_name("labels", index))
        for layer in LAYERS:
            read[layer].append([index, tables, digest_of_array(names.of_layer(layer))])
    return {layer: inputs_digest(run, task, [layer, read[layer]]) for layer in LAYERS}


def run(run: SegmentationRun, task: Task) -> Counts:
    """Write the label layers in the task's box, which lies on storage blocks whatever the chunks are.

    A layer that is whole from an earlier start of the run is not written again. Ids are put in a block at a
    time, which then lies in the processor's cache when it is packed.
    """
    volumes = {name: open_volume(run.layer(name)) for name in LAYERS}
    wanted = [name for name in LAYERS if name not in run.reusable_parts(task.id)]
    counts: Counts = {"voxels": task.box.voxels, "stored_bytes": 0, "background_voxels": 0}
    counts |= {"supervoxels": 0, "segments": 0}
    names_of = _NamesOf(run)
    for _, region in task.box.cells(region_size(run.params, run.facts)):
        parts = []
        for index, chunk in chunks_meeting(run, region):
            names = names_of(index)
            parts.append(_Part(chunk.intersect(region), _numbers(run, index, chunk, region), names))
            if region.contains(Box.from_shape(chunk.minimum, (1, 1, 1))):  # each chunk is counted once
                counts["supervoxels"] += names.begun(names.supervoxels)
                counts["segments"] += names.begun(names.segments)
        for block in volumes["supervoxels"].blocks(region):
            ids = _painted(block, parts)
            counts["background_voxels"] += block.voxels - np.count_nonzero(ids["supervoxels"])
            counts["stored_bytes"] += sum(volumes[name].write(block, ids[name]) for name in wanted)
    return counts


def _painted(block: Box, parts: list[_Part]) -> dict[str, Labels]:
    """The ids of all voxels of a block, by layer."""
    ids = {name: np.zeros(block.shape, np.uint64, order="F") for name in LAYERS}
    for part in parts:
        shared = part.box.intersect(block)
        if shared.voxels:
            layers = (ids[name][shared.within(block)] for name in LAYERS)
            paint(part.numbers[shared.within(part.box)], part.names.supervoxels, part.names.segments, *layers)
    return ids


@dataclass(frozen=True)
class _Names:
    """What a chunk's cluster numbers stand for; entry 0 is background."""

    clusters: Labels
    supervoxels: Labels
    segments: Labels

    def of_layer(self, layer: str) -> Labels:
        return self.supervoxels if layer == "supervoxels" else self.segments

    def begun(self, ids: Labels) -> int:
        """How many ids have their first voxel in the chunk: there they are the cluster's own."""
        return int(np.count_nonzero(ids == self.clusters)) - 1


@dataclass(frozen=True)
class _Part:
    """What a region shares with a chunk: where that is, the clusters' numbers there, their names."""

    box: Box
    numbers: NDArray[np.uint32]
    names: _Names


class _NamesOf:
    """The names of chunks. Those of a leaf are read once for all of its chunks, which mostly follow each other."""

    def __init__(self, run: SegmentationRun) -> None:
        self._run = run
        self._final = FinalIds(run, watershed_octree(run.plan))
        self._of_leaf = lru_cache(maxsize=2)(self._read)

    def __call__(self, chunk: Triple) -> _Names:
        leaf = leaf_index(self._run, chunk)
        supervoxels_of, segments_of = self._of_leaf(leaf)
        tables = self._run.tables(watershed_leaf(self._run, leaf).id)
        clusters = read_table(tables, chunk_name("clusters", chunk))["id"]
        supervoxels = supervoxels_of.follow(clusters, chunk)
        segments = segments_of.follow(supervoxels)
        return _Names(*(ids.astype(np.uint64) for ids in (clusters, supervoxels, segments)))

    def _read(self, leaf: Triple) -> tuple[LeafIds, Mapping]:
        watershed, agglomeration = watershed_leaf(self._run, leaf), agglomeration_leaf(self._run, leaf)
        return LeafIds(self._run, watershed, self._final), segments_in(self._run, agglomeration)


def _numbers(run: SegmentationRun, index: Triple, chunk: Box, region: Box) -> NDArray[np.uint32]:
    """A chunk's cluster numbers where it meets a region, (X, Y, Z), Fortran order."""
    tables = run.tables(watershed_leaf(run, leaf_index(run, index)).id)
    numbers = read_table(tables, chunk_name("labels", index))["number"].reshape(chunk.shape, order="F")
    return np.asfortranarray(numbers[chunk.intersect(region).within(chunk)])
