"""What lies at a path: a precomputed layer, OME-Zarr, a Zarr array or N5, found by its metadata files.

Only these are read here, through `Storage`. A path names a volume, or one of its scales: `image.zarr/1` and
`image.zarr:1` are the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from seuron.errors import SeuronError, StorageError, VolumeError
from seuron.storage import Storage, cloud_path, join, local_folder
from seuron.storage.allowed_paths import check_address
from seuron.volumes.array_metadata import ArrayMetadata, plain_metadata, stated_axes
from seuron.volumes.array_volume import ArrayVolume, ScaleArray
from seuron.volumes.n5_metadata import n5_metadata
from seuron.volumes.ome_metadata import OmeImage, bioformats2raw, ome_image
from seuron.volumes.precomputed import PrecomputedVolume, is_plain
from seuron.volumes.stored_array import StoredArray
from seuron.volumes.volume import Volume

#: How far above an array the group that describes its scales may lie.
GROUP_DEPTH = 3
#: A path and, behind its last colon, the array in it; colons of schemes and ports have slashes behind them.
_DATASET = re.compile(r"(.+):([^:]+)")
Document = Mapping[str, Any]


def open_volume(path: str, mip: int = 0) -> Volume:
    """Open one scale of a volume; raises VolumeError when that cannot be done, with what to do instead."""
    path = cloud_path(path)
    check_address(path)
    if not is_plain(path):  # a format of a server's, which cloud-volume asks
        volume = PrecomputedVolume(path, mip)
        volume.check()
        return volume
    try:
        found = _found(path, mip)
    except (SeuronError, RecursionError):
        raise
    except OSError as error:  # a network, which another try may find working
        raise StorageError(f"cannot open {path} ({type(error).__name__}: {error})") from error
    except Exception as error:  # each object store's client raises types of its own
        raise VolumeError(f"cannot open {path} ({type(error).__name__}: {error})") from error
    if found is None:
        raise VolumeError(f"cannot open {path} at mip {mip}: {_what_lies_there(path)}")
    return found


def dataset_path(path: str) -> str:
    """The folder that a path names, `image.zarr/1` for `image.zarr:1`, where no file or folder has the colon."""
    full = cloud_path(path)
    scheme, _, rest = full.partition("://")
    split, folder = _DATASET.fullmatch(rest), local_folder(full)
    if split is None or (folder is not None and folder.exists()):
        return full
    return join(f"{scheme}://{split[1]}", split[2].strip("/"))


def _found(path: str, mip: int) -> Volume | None:
    folder = local_folder(path)
    if folder is not None and not folder.is_dir():
        named = dataset_path(path)
        return _found(named, mip) if named != path and (local_folder(named) or folder).is_dir() else None
    storage = Storage(path)
    if storage.get("info") is not None:
        layer = PrecomputedVolume(path, mip)
        layer.check()
        return layer
    volume = array_volume(path)
    if volume is None:
        named = dataset_path(path)
        return _found(named, mip) if named != path else None
    if not 0 <= mip < volume.scales:
        raise VolumeError(
            f"cannot open {path} at mip {mip}: it has {volume.scales} scales, and mip {mip} is none of 0 to "
            f"{volume.scales - 1}"
        )
    volume = replace(volume, mip=mip)
    volume.check()
    return volume


def _what_lies_there(path: str) -> str:
    """Why a path holds no volume, and what to do."""
    folder = local_folder(path)
    shown = path.removeprefix("file://")
    if folder is not None and (folder.is_file() or Path(str(folder).rpartition(":")[0]).is_file()):
        return f"it is a file. Import it first, and give the layer: seuron import {shown} LAYER"
    if folder is not None and not folder.exists():
        return "nothing lies there. Give the folder of a precomputed layer, OME-Zarr or N5; `seuron import` makes one"
    return (
        "none of `info` (precomputed), `zarr.json`, `.zarray`, `.zattrs` (Zarr) and `attributes.json` (N5) lies there. "
        "Give the folder that holds it; `seuron import` makes a layer from HDF5, TIFF and other files"
    )


def _children(path: str) -> list[str]:
    """What lies in a group, but for files of metadata; nothing is known of it on a web server, which lists nothing."""
    if path.startswith(("http://", "https://")):
        return []
    names = [name.rstrip("/") for name in Storage(path).names()]
    return [name for name in names if not name.startswith(".") and not name.endswith(".json")]


def _unnamed(path: str, what: str, children: list[str]) -> VolumeError:
    """What to raise for a group, of which one has to name an array."""
    example = f"{path.removeprefix('file://')}:{children[0] if children else 'NAME'}"
    listed = ", ".join(children[:20]) or "none"
    return VolumeError(f"cannot open {path}: it is {what}. Name an array in it, such as {example}; there are: {listed}")


def document(storage: Storage, name: str) -> Document | None:
    """A metadata file; None where there is none. Raises VolumeError where it is no JSON object."""
    content = storage.get(name)
    if content is None:
        return None
    try:
        found = json.loads(content)
    except ValueError as error:
        raise VolumeError(f"cannot open {storage.path}: its `{name}` is no JSON ({error}); write it again") from error
    if not isinstance(found, dict):
        raise VolumeError(f"cannot open {storage.path}: its `{name}` is {type(found).__name__}, not an object")
    return found


def zarr_node(path: str) -> tuple[StoredArray | None, Document] | None:
    """A Zarr array and its attributes, a group's attributes without one; None where neither lies there."""
    storage = Storage(path)
    third = document(storage, "zarr.json")
    if third is not None:
        attributes = dict(third.get("attributes") or {})
        if third.get("node_type") != "array":
            return None, attributes
        if any(names := third.get("dimension_names") or ()):
            attributes = {"_ARRAY_DIMENSIONS": names, **attributes}
        return StoredArray(path, "zarr3", third), attributes
    array, beside = document(storage, ".zarray"), document(storage, ".zattrs")
    if array is not None:
        return StoredArray(path, "zarr", array), beside or {}
    if beside is None and document(storage, ".zgroup") is None:
        return None
    return None, beside or {}


def _zarr(path: str) -> ArrayVolume | None:
    node = zarr_node(path)
    if node is None:
        return None
    array, attributes = node
    if array is not None:
        return _one_scale(path, array, attributes)
    image = ome_image(attributes)
    if image is not None:
        return _ome(path, image)
    if bioformats2raw(attributes):
        return _only_series(path)
    children = _children(path)
    raise _unnamed(path, "a Zarr group without OME metadata", children)


def array_volume(path: str) -> ArrayVolume | None:
    """The volume of a folder of Zarr or N5, its arrays not looked at yet; None where neither lies there."""
    return _zarr(path) or _n5(path)


def _only_series(path: str) -> ArrayVolume | None:
    """The image of a group that bioformats2raw made, which numbers its images."""
    series = [str(number) for number in takewhile(lambda n: zarr_node(join(path, str(n))) is not None, count())]
    if len(series) != 1:
        listed = ", ".join(f"{path.removeprefix('file://')}:{name}" for name in series) or "none"
        raise VolumeError(f"cannot open {path}: it holds {len(series)} images; name one of them: {listed}")
    return _zarr(join(path, series[0]))


def _ome(path: str, image: OmeImage) -> ArrayVolume:
    arrays = []
    for scale in image.scales:
        place = join(path, scale.path.strip("/"))
        node = zarr_node(place)
        if node is None or node[0] is None:
            raise VolumeError(
                f"cannot open {path}: its OME metadata name a scale {scale.path!r}, but no array lies there"
            )
        arrays.append(ScaleArray(scale.path.strip("/"), node[0], scale.metadata))
    if not arrays:
        raise VolumeError(f"cannot open {path}: its OME metadata name no scales")
    from seuron.volumes.ome_zarr import OmeZarrLayer, is_layer

    made = OmeZarrLayer if is_layer(arrays) else ArrayVolume
    return made(path, about=f"OME-Zarr {image.version}", arrays=tuple(arrays))


def _one_scale(path: str, array: StoredArray, attributes: Document) -> ArrayVolume:
    """A single array, with what the OME image above it says, or else what its own attributes say."""
    for depth in range(1, GROUP_DEPTH + 1):
        parent, name = _above(path, depth)
        node = zarr_node(parent) if parent else None
        image = ome_image(node[1]) if node is not None and node[0] is None else None
        scale = image.scale(name) if image is not None else None
        if image is not None and scale is not None:
            return ArrayVolume(path, about=f"OME-Zarr {image.version}", arrays=(ScaleArray("", array, scale.metadata),))
    axes, notes = stated_axes(attributes, len(array.shape))
    said = ArrayMetadata(notes=notes) if axes is None else replace(plain_metadata(attributes, axes), notes=notes)
    plain = ScaleArray("", array, said, attributes)
    return ArrayVolume(path, about=f"Zarr {3 if array.driver == 'zarr3' else 2}", arrays=(plain,))


def _above(path: str, depth: int) -> tuple[str, str]:
    """The folder so many steps above a path, and the way down from it; empty where there is none."""
    scheme, _, rest = path.partition("://")
    parts = rest.rsplit("/", depth)
    return (f"{scheme}://{parts[0]}", "/".join(parts[1:])) if len(parts) == depth + 1 and parts[0] else ("", "")


def _n5(path: str) -> ArrayVolume | None:
    own = document(Storage(path), "attributes.json")
    if own is not None and "dimensions" in own:
        parent, _ = _above(path, 1)
        group = (document(Storage(parent), "attributes.json") if parent else None) or {}
        return ArrayVolume(path, about="N5", arrays=(_n5_scale(path, "", own, group),))
    arrays = []
    for number in count():  # what lies there is asked for by name: web servers list nothing
        name = f"s{number}"
        of_scale = document(Storage(join(path, name)), "attributes.json")
        if of_scale is None or "dimensions" not in of_scale:
            break
        arrays.append(_n5_scale(path, name, of_scale, own or {}))
    if arrays:
        return ArrayVolume(path, about="N5", arrays=tuple(arrays))
    if own is None:
        return None
    children = _children(path)
    raise _unnamed(path, "an N5 group without scales s0, s1, ...", children)


def _n5_scale(path: str, name: str, own: Document, group: Document) -> ScaleArray:
    array = StoredArray(join(path, name) if name else path, "n5", own)
    return ScaleArray(name, array, n5_metadata(own, group, len(array.shape)), {**group, **own})
