"""Layers as layers: OME-Zarr 0.5 and precomputed, with their pyramids, as `seuron import` and runs write them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from seuron.box import Box
from seuron.volumes import create_volume
from seuron.volumes.exports.target import ExportedArray, Target
from seuron.volumes.layouts import LayerFormat
from seuron.volumes.pyramid import build_pyramid


@contextmanager
def _open(path: Path, array: ExportedArray, layer_format: LayerFormat) -> Iterator[Target]:
    volume = create_volume(
        str(path),
        array.box,
        array.resolution_nm,
        dtype=array.dtype.name,
        channels=array.channels,
        kind=array.kind,
        layer_format=layer_format,
    )

    def write(box: Box, voxels: NDArray[Any]) -> None:
        volume.write(box.shifted(array.box.minimum), voxels)

    yield Target(write, volume.block_size)
    build_pyramid(volume)


def open_ome_zarr(path: Path, array: ExportedArray) -> AbstractContextManager[Target]:
    """An OME-Zarr 0.5 folder."""
    return _open(path, array, "ome-zarr")


def open_precomputed(path: Path, array: ExportedArray) -> AbstractContextManager[Target]:
    """A precomputed folder."""
    return _open(path, array, "precomputed")
