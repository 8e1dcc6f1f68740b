"""Zarr 2 and 3, OME-Zarr among them, and N5: an array, an image, or a group that one of them is named in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from seuron.errors import VolumeError
from seuron.volumes.array_metadata import ArrayMetadata, plain_metadata, stated_axes
from seuron.volumes.n5_metadata import n5_metadata
from seuron.volumes.ome_metadata import OmeImage, bioformats2raw, ome_image
from seuron.volumes.sources.array_source import FileArray, array_source, chosen_axes
from seuron.volumes.sources.hdf5 import chosen_name
from seuron.volumes.sources.source import SourceOptions, SourceVolume

ZARR_FILES = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
N5_FILE = "attributes.json"
#: How far above an array the group that describes its scales may lie.
GROUP_DEPTH = 3


def is_zarr(folder: Path) -> bool:
    """Whether a folder is an array or group of Zarr."""
    return any((folder / name).exists() for name in ZARR_FILES)


def open_zarr(folder: Path, options: SourceOptions) -> SourceVolume:
    """An array of a Zarr folder: itself, the finest scale of its image, the one that is named, or the only one."""
    import zarr

    place = folder / options.dataset.strip("/") if options.dataset else folder
    node = zarr.open(str(place), mode="r") if is_zarr(place) else None
    if isinstance(node, zarr.Array):
        return _array(str(place), node, _image_above(place), options)
    whole = node if node is not None else zarr.open_group(str(folder), mode="r")
    attributes = dict(whole.attrs)
    image = ome_image(attributes) if node is not None else None
    if image is not None and image.scales:
        finest = image.scales[0]
        array = whole[finest.path]
        notes = (f"scale {finest.path} is read, the finest of {len(image.scales)}",) if len(image.scales) > 1 else ()
        return _array(f"{place}:{finest.path}", array, (image, finest.path), options, notes)
    if node is not None and bioformats2raw(attributes):
        series = sorted((name for name, _ in whole.groups() if name.isdigit()), key=int)
        if len(series) == 1:
            return open_zarr(place / series[0], replace(options, dataset=None))
        raise VolumeError(
            f"{place} holds {len(series)} images; name one as {place.name}:NUMBER. There are: {', '.join(series)}"
        )
    known = {name: item for name, item in whole.members(max_depth=None) if isinstance(item, zarr.Array)}
    chosen = chosen_name(place, None if node is not None else options.dataset, known)
    return open_zarr(place / chosen if node is not None else folder / chosen, replace(options, dataset=None))


def _image_above(place: Path) -> tuple[OmeImage, str] | None:
    """The OME image whose scale the array in a folder is, and the scale's path; None where there is none."""
    import zarr

    for parent in list(place.parents)[:GROUP_DEPTH]:
        if is_zarr(parent):
            image = ome_image(dict(zarr.open_group(str(parent), mode="r").attrs))
            path = place.relative_to(parent).as_posix()
            if image is not None and image.scale(path) is not None:
                return image, path
    return None


def _array(
    name: str, array: Any, scale: tuple[OmeImage, str] | None, options: SourceOptions, notes: tuple[str, ...] = ()
) -> SourceVolume:
    """A Zarr array with what the image above it says, or else its own attributes."""
    version = array.metadata.zarr_format
    word = f"OME-Zarr {scale[0].version}" if scale is not None else f"Zarr {version}"
    found = FileArray(name, word, array, array.shards or array.chunks, notes=notes)
    said = scale[0].scale(scale[1]) if scale is not None else None
    if said is not None and said.metadata.axes is not None:
        return array_source(found, chosen_axes(found, said.metadata.axes, options), said.metadata, options)
    attributes: Mapping[str, Any] = dict(array.attrs)
    names = getattr(array.metadata, "dimension_names", None)
    named, axis_notes = stated_axes({"dimension_names": names, **attributes}, len(array.shape))
    axes = chosen_axes(found, named, options)
    metadata = replace(plain_metadata(attributes, axes), axes=named, notes=axis_notes)
    return array_source(found, axes, metadata, options)


def open_n5(folder: Path, options: SourceOptions) -> SourceVolume:
    """An array of an N5 folder: itself, the finest scale `s0`, or the one that is named."""
    import tensorstore

    place = folder / options.dataset.strip("/") if options.dataset else folder
    own = _attributes(place)
    if "dimensions" not in own:
        known = sorted(
            p.parent.relative_to(folder).as_posix()
            for p in folder.rglob(N5_FILE)
            if "dimensions" in _attributes(p.parent)
        )
        scales = [path for path in known if folder / path == place / "s0"]
        if options.dataset is None and (scales or len(known) == 1):
            return open_n5(folder, replace(options, dataset=(scales or known)[0]))
        if options.dataset is not None and scales:
            return open_n5(place / "s0", replace(options, dataset=None))
        raise VolumeError(
            f"{place} is no array of N5; name one as {folder.name}:DATASET. There are: {', '.join(known) or 'none'}"
        )
    try:
        spec = {"driver": "n5", "kvstore": {"driver": "file", "path": f"{place}/"}}
        array = tensorstore.open(spec, read=True).result()
    except ValueError as error:
        raise VolumeError(f"cannot read {place} as N5 ({error}); write it with a codec of N5's own") from error
    metadata = n5_metadata(own, _attributes(place.parent), len(array.shape))
    found = FileArray(str(place), "N5", StoredVoxels(array), own["blockSize"])
    axes = chosen_axes(found, metadata.axes, options)
    return array_source(found, axes, metadata if metadata.axes is not None else ArrayMetadata(), options)


class StoredVoxels:
    """An array of tensorstore as numpy's."""

    def __init__(self, array: Any) -> None:
        self._array, self.shape, self.dtype = array, tuple(array.shape), array.dtype.numpy_dtype

    def __getitem__(self, index: Any) -> Any:
        return self._array[index].read().result()


def _attributes(folder: Path) -> Mapping[str, Any]:
    import json

    file = folder / N5_FILE
    if not file.exists():
        return {}
    found: Mapping[str, Any] = json.loads(file.read_text())
    return found
