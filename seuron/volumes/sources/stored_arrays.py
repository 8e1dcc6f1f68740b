"""Zarr 2 and 3, OME-Zarr, N5 and precomputed layers as sources, on this machine or in an object store.

What lies there is found as for volumes that are used in place (`seuron.volumes.detection`); here axes and size may be
missing, as a person can say them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.errors import VolumeError
from seuron.storage import Storage, cloud_path, join, local_folder
from seuron.storage.allowed_paths import check_address
from seuron.volumes.array_metadata import ArrayMetadata, implausible, plain_metadata, tidy
from seuron.volumes.array_volume import ScaleArray
from seuron.volumes.detection import array_volume, document, open_volume, zarr_node
from seuron.volumes.n5_metadata import n5_metadata
from seuron.volumes.ome_metadata import bioformats2raw, ome_image
from seuron.volumes.sources.array_source import FileArray, array_source, chosen_axes
from seuron.volumes.sources.hdf5 import chosen_name
from seuron.volumes.sources.source import SourceOptions, SourceVolume, Stated
from seuron.volumes.sources.webknossos import dataset_metadata
from seuron.volumes.stored_array import StoredArray

#: How deep below a group arrays are looked for, to name them.
GROUP_DEPTH = 4
N5_FILE = "attributes.json"


def is_stored(path: str) -> bool:
    """Whether a path is a folder of one of these formats."""
    storage = Storage(path)
    return any(
        storage.get(name) is not None for name in ("info", "zarr.json", ".zarray", ".zgroup", ".zattrs", N5_FILE)
    )


def open_stored(path: str, options: SourceOptions) -> SourceVolume:
    """An array or image in a folder or below an address, its finest scale, or what `dataset` names in it."""
    check_address(path)
    full = cloud_path(path)
    if options.dataset:
        if Storage(full).get("info") is not None:
            return _layer(full, options.dataset)
        inner = join(full, options.dataset.strip("/"))
        if not is_stored(inner):
            chosen_name(path, options.dataset, _arrays_below(full))
        full = inner
    if Storage(full).get("info") is not None:
        return _layer(full, "0")
    volume = None if _is_plain_group(full) else array_volume(full)
    if volume is None:
        full = join(full, chosen_name(full.removeprefix("file://"), None, _arrays_below(full)))
        volume = array_volume(full)
    assert volume is not None  # an array lies there
    finest = volume.arrays[0]
    finest.array.check()
    count = len(volume.arrays)
    notes = (f"scale {finest.key} is read, the finest of {count}",) if count > 1 else ()
    return _source(finest, volume.about, notes, options)


def _is_plain_group(path: str) -> bool:
    """Whether a folder is a group that neither OME nor N5's scales describe."""
    node = zarr_node(path)
    if node is not None:
        return node[0] is None and ome_image(node[1]) is None and not bioformats2raw(node[1])
    own = document(Storage(path), N5_FILE)
    first = document(Storage(join(path, "s0")), N5_FILE) or {}
    return own is not None and "dimensions" not in own and "dimensions" not in first


def _arrays_below(path: str, depth: int = GROUP_DEPTH) -> dict[str, StoredArray]:
    """The arrays in a group by their paths below it."""
    found: dict[str, StoredArray] = {}
    for name in (entry.rstrip("/") for entry in Storage(path).names() if _is_folder(path, entry)):
        child = join(path, name)
        node, own = zarr_node(child), document(Storage(child), N5_FILE)
        if node is not None and node[0] is not None:
            found[name] = node[0]
        elif own is not None and "dimensions" in own:
            found[name] = StoredArray(child, "n5", own)
        elif depth > 1:
            found |= {f"{name}/{inner}": array for inner, array in _arrays_below(child, depth - 1).items()}
    return found


def _is_folder(path: str, entry: str) -> bool:
    """Whether what `Storage.names` gives is a folder: object stores mark those by a slash."""
    folder = local_folder(path)
    return entry.endswith("/") if folder is None else (folder / entry).is_dir()


class ArrayParts:
    """A stored array that slices as numpy's do."""

    def __init__(self, array: StoredArray) -> None:
        self._array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        ranges = [part.indices(size) for part, size in zip(index, self.shape, strict=True)]
        return self._array.read(tuple(slice(start, stop) for start, stop, _ in ranges))


def _source(scale: ScaleArray, about: str, notes: tuple[str, ...], options: SourceOptions) -> SourceVolume:
    name = scale.array.path.removeprefix("file://")
    array = FileArray(name, about, ArrayParts(scale.array), scale.array.file_shape, notes=notes)
    said = scale.metadata
    axes = chosen_axes(array, said.axes, options, said.notes if said.axes is None else ())
    return array_source(array, axes, _of_webknossos(scale, _metadata(scale, axes)), options)


def _of_webknossos(scale: ScaleArray, said: ArrayMetadata) -> ArrayMetadata:
    """What is said of an array, with the scale and category of the WebKnossos dataset that it lies in, if any."""
    folder = local_folder(scale.array.path)
    if folder is None or said.axes is None or said.resolution_nm is not None or said.size_problem:
        return said
    known = dataset_metadata(folder, said.axes)
    return replace(said, resolution_nm=known.resolution_nm, kind=known.kind, size_problem=known.size_problem)


def _metadata(scale: ScaleArray, axes: Stated[str]) -> ArrayMetadata:
    """What is said of an array, read once more where its axes are known from elsewhere than its attributes."""
    said, attributes = scale.metadata, _plain(scale.attributes)
    if said.axes is not None or not attributes:
        return said
    if scale.array.driver == "n5":
        return n5_metadata({**attributes, "axes": axes.value}, {}, len(axes.value))
    return replace(plain_metadata(attributes, axes), axes=None, notes=said.notes)


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if name not in ("axes", "_ARRAY_DIMENSIONS")}


def _layer(path: str, mip: str) -> SourceVolume:
    """A scale of a precomputed layer; a block that is not stored is an error when it is read."""
    if not mip.isdigit():
        raise VolumeError(f"{path} is a precomputed layer, whose scales are numbers; got {mip!r}: say 0 for the finest")
    volume = open_volume(path, int(mip))
    x, y, z = (tidy(corner * size) for corner, size in zip(volume.box.minimum, volume.resolution_nm, strict=True))
    problem = implausible(volume.resolution_nm)
    return SourceVolume(
        name=path.removeprefix("file://"),
        format="precomputed",
        shape=volume.box.shape,
        channels=volume.channels,
        dtype=np.dtype(volume.dtype),
        read=lambda box: volume.read(box.shifted(volume.box.minimum)),
        axes=Stated("xyzc", "convention of precomputed"),
        resolution_nm=None if problem else Stated(volume.resolution_nm, "`resolution` of info"),
        corner_nm=Stated((x, y, z), "`voxel_offset` of info"),
        size_problem=problem and f"`resolution` of info is {problem}",
        kind=Stated(volume.kind, "`type` of info"),
        blocks=volume.block_size,
    )
