"""A user's own data becomes a precomputed layer with its pyramid."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, Triple, triple
from seuron.errors import DataError, VolumeError
from seuron.storage import Storage, cloud_path
from seuron.volumes.layers import create_volume
from seuron.volumes.precomputed import read_layer_info, volume_info
from seuron.volumes.pyramid import build_pyramid
from seuron.volumes.source_files import SourceVolume, open_source
from seuron.volumes.volume import Kind, Resolution, Volume

#: Bytes of the source that are held at once, apart from what one block or one section takes anyway.
SLAB_BYTES = 256 << 20
#: Names that people give to labels. Integer arrays with one of these words are labels whatever their width.
LABEL_WORDS = {
    *("label", "labels", "seg", "segmentation", "segments", "supervoxels", "fragments", "ws", "watershed"),
    *("id", "ids", "neurons", "bodies", "gt", "truth"),
}
IMAGE_TYPES = ("uint8", "uint16", "uint32", "uint64", "float32")
#: Types that another one holds well enough: affinities and images need no more than float32.
WIDENED = {"bool": "uint8", "float16": "float32", "float64": "float32"}


def import_volume(
    source: str,
    destination: str,
    resolution_nm: Sequence[float] | None,
    *,
    dataset: str | None = None,
    kind: Kind | None = None,
    offset: Triple = (0, 0, 0),
    block_size: Triple = (64, 64, 64),
) -> Volume:
    """Write `source` as a precomputed layer at `destination`, all scales, and open its first scale.

    `source` is an HDF5 file (`file.h5:dataset`, arrays zyx or czyx), a Zarr or OME-Zarr folder, a
    TIFF stack, or a folder of section images. `resolution_nm` is the voxel size in x, y, z; None takes what
    the file says. `kind` is guessed from type and name: integers of 32 bits or more, or named like
    labels, are a segmentation. `offset` is the position of the first voxel.

    Memory stays at about a GB whatever the size. Importing again over an unfinished import finishes
    it. Raises VolumeError for a source that cannot be read or a destination that holds another
    layer, and DataError for labels below 0 or sections that differ in size.
    """
    with open_source(source, dataset) as opened:
        resolution = _resolution(opened, resolution_nm)
        chosen = kind or guess_kind(opened)
        box = Box.from_shape(offset, opened.shape)
        layer: dict[str, Any] = {
            "dtype": stored_dtype(opened, chosen),
            "channels": opened.channels,
            "kind": chosen,
            "block_size": block_size,
        }
        _check_destination(destination, volume_info(box, resolution, **layer))
        volume = create_volume(destination, box, resolution, **layer)
        for part in slabs(box, volume.block_size, opened.dtype.itemsize * opened.channels):
            voxels = opened.read(part.shifted([-o for o in offset]))
            volume.write(part, _converted(voxels, volume, opened.name))
    build_pyramid(volume)
    return volume


def guess_kind(source: SourceVolume) -> Kind:
    """`segmentation` for integers of 32 or 64 bits, and for narrower ones that are named like labels."""
    if source.dtype.kind not in "ui" or source.channels != 1:
        return "image"
    name = source.name.replace("\\", "/")
    words = set(re.split(r"[^a-z]+", name.rsplit("/", 1)[-1].lower()))
    if ":" in name:  # the whole path inside a file tells, but not the folders the file lies in
        words = set(re.split(r"[^a-z]+", name.rsplit(":", 1)[-1].lower()))
    return "segmentation" if source.dtype.itemsize >= 4 or words & LABEL_WORDS else "image"


def stored_dtype(source: SourceVolume, kind: Kind) -> str:
    """The type that voxels are stored as; raises VolumeError for types that neither kind can hold."""
    if kind == "segmentation":
        if source.dtype.kind not in "uib" or source.channels != 1:
            raise VolumeError(
                f"{source.name} is {source.dtype} with {source.channels} channels and cannot be a segmentation; "
                "labels are integers with one channel: import it as an image"
            )
        return "uint64" if source.dtype.itemsize > 4 else "uint32"
    dtype = WIDENED.get(source.dtype.name, source.dtype.name)
    if dtype not in IMAGE_TYPES:
        raise VolumeError(
            f"{source.name} is {source.dtype}, which an image cannot be; allowed are {', '.join(IMAGE_TYPES)}. "
            "Convert it, or import integers as labels with kind segmentation"
        )
    return dtype


def slabs(box: Box, block_size: Triple, voxel_bytes: int, limit: int = SLAB_BYTES) -> list[Box]:
    """Boxes on the block grid that cover `box`, each of about `limit` bytes at most: whole sections while they fit."""
    cell = [box.shape[0], box.shape[1], block_size[2]]
    for axis in (1, 0):  # rows of a section are stored together, so they are cut last
        while cell[0] * cell[1] * cell[2] * voxel_bytes > limit and cell[axis] > block_size[axis]:
            blocks = -(-cell[axis] // block_size[axis])
            cell[axis] = -(-blocks // 2) * block_size[axis]
    return [part for _, part in box.cells(triple(cell))]


def _resolution(source: SourceVolume, given: Sequence[float] | None) -> Resolution:
    values = given if given is not None else source.resolution_nm
    if values is None:
        raise VolumeError(f"{source.name} does not say how large its voxels are; give the resolution as x,y,z in nm")
    if len(values) != 3 or any(not float(value) > 0 for value in values):
        raise VolumeError(f"the resolution must be three numbers above 0 (nm along x, y, z), got {list(values)}")
    x, y, z = (float(value) for value in values)
    return (x, y, z)


def _check_destination(destination: str, info: dict[str, Any]) -> None:
    storage = Storage(destination)
    if storage.get("info") is not None and read_layer_info(storage) != info:
        raise VolumeError(
            f"{cloud_path(destination)} already holds another layer; give another folder, or delete that one first"
        )


def _converted(voxels: NDArray[Any], volume: Volume, name: str) -> NDArray[Any]:
    if volume.kind == "segmentation" and voxels.dtype.kind == "i" and voxels.size and voxels.min() < 0:
        raise DataError(
            f"{name} holds the label {voxels.min()}; labels are 0 (nothing) or above: make the unlabelled voxels 0"
        )
    return np.asfortranarray(voxels.astype(volume.dtype, copy=False))
