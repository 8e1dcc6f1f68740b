"""Scoring a stored segmentation against skeletons in SWC files."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, triple
from seuron.errors import DataError, VolumeError
from seuron.evaluation.skeletons import MERGE_TOLERANCE, Ids, RunLengths, TrueSkeleton, parse_swc, run_lengths
from seuron.storage import Storage
from seuron.volumes import Volume, open_volume


def evaluate_skeletons(
    segmentation_path: str, skeletons_path: str, mip: int = 0, merge_tolerance: int = MERGE_TOLERANCE
) -> RunLengths:
    """Expected run length of the skeletons of a folder of SWC files, or of one, in a segmentation.

    Coordinates are in nm, as the segmentation's voxels are placed. Edges with an end outside its box are left out.
    """
    volume = open_volume(segmentation_path, mip)
    found = [inside for skeleton in read_skeletons(skeletons_path) if len((inside := _inside(volume, skeleton)).edges)]
    if not found:
        raise VolumeError(
            f"no skeleton of {skeletons_path} has an edge inside {volume.path}, {volume.box} in voxels of "
            f"{volume.resolution_nm} nm; SWC coordinates must be in nm"
        )
    return run_lengths(found, [segments_at(volume, skeleton.nodes) for skeleton in found], merge_tolerance)


def read_skeletons(path: str) -> Iterator[TrueSkeleton]:
    """The skeletons of `FOLDER/*.swc`, or of one such file, called by their names where these are numbers."""
    folder, _, one = path.rpartition("/") if path.endswith(".swc") else (path.rstrip("/"), "", "")
    storage = Storage(folder)
    names = [one] if one else sorted(name for name in storage.names() if name.endswith(".swc"))
    if not names:
        raise DataError(f"{path} holds no file that ends in .swc; give a folder of SWC skeletons, or one of them")
    for number, name in enumerate(names, 1):
        content, stem = storage.get(name), name.rsplit("/", 1)[-1].removesuffix(".swc")
        if content is None:
            raise DataError(f"there is no file {folder}/{name}; give a folder of SWC skeletons, or one of them")
        text = content.decode("utf-8", errors="replace")
        yield parse_swc(text, int(stem) if stem.isascii() and stem.isdigit() else number, name)


def segments_at(volume: Volume, nodes: NDArray[np.float64]) -> Ids:
    """The segment of each node (n, 3) in nm, 0 outside the volume; each storage block is read once."""
    voxels = _voxels(volume, nodes)
    found = np.zeros(len(nodes), np.uint64)
    inside = np.flatnonzero(_contained(volume.box, voxels))
    blocks = (voxels[inside] - volume.box.minimum) // volume.block_size
    ids, block_of = np.unique(blocks, axis=0, return_inverse=True)
    for number, index in enumerate(ids.tolist()):
        rows = inside[block_of.reshape(-1) == number]
        block = volume.box.cell(volume.block_size, triple(index), volume.box.minimum)
        x, y, z = (voxels[rows] - block.minimum).T
        found[rows] = volume.read(block)[..., 0].astype(np.uint64)[x, y, z]
    return found


def _inside(volume: Volume, skeleton: TrueSkeleton) -> TrueSkeleton:
    """A skeleton without the nodes outside a volume, and the edges that end there."""
    kept = _contained(volume.box, _voxels(volume, skeleton.nodes))
    number = np.cumsum(kept) - 1
    edges = skeleton.edges[kept[skeleton.edges].all(axis=1)]
    return TrueSkeleton(skeleton.id, skeleton.nodes[kept], number[edges].reshape(-1, 2))


def _voxels(volume: Volume, nodes: NDArray[np.float64]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = np.floor(nodes / np.array(volume.resolution_nm)).astype(np.int64)
    return found


def _contained(box: Box, voxels: NDArray[np.int64]) -> NDArray[np.bool_]:
    low, high = np.array(box.minimum), np.array(box.maximum)
    found: NDArray[np.bool_] = np.all((voxels >= low) & (voxels < high), axis=1)
    return found
