"""WebKnossos' wkw: a folder for each magnification, with the dataset's properties two folders above.

DATASET/datasource-properties.json     scale, bounding box and category of each layer
DATASET/LAYER/1, DATASET/LAYER/2-2-1   magnifications, each with header.wkw
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, Triple, triple
from seuron.errors import VolumeError
from seuron.volumes.array_metadata import ArrayMetadata, nanometres_of, numbers, stated_corner, voxel_size
from seuron.volumes.sources.array_source import FileArray, array_source, chosen_axes
from seuron.volumes.sources.source import SourceOptions, SourceVolume, Stated

PROPERTIES = "datasource-properties.json"
HEADER = "header.wkw"
MAGNIFICATION = re.compile(r"(\d+)(?:-(\d+)-(\d+))?")
CUBE = re.compile(r"z(\d+)/y(\d+)/x(\d+)\.wkw")


def is_wkw(folder: Path) -> bool:
    """Whether a folder is a magnification, a layer or a dataset of wkw."""
    return any(True for depth in ("", "*/", "*/*/") for _ in folder.glob(f"{depth}{HEADER}"))


def open_wkw(folder: Path, options: SourceOptions) -> SourceVolume:
    """A layer of wkw in the magnification that is named, or else the finest one."""
    import wkw

    place, notes = _magnification_folder(folder, options.dataset)
    factor = _factor(place)
    layer, scale = _properties(place.parent)
    with ExitStack() as stack:
        try:
            dataset = stack.enter_context(wkw.Dataset.open(str(place)))
        except (RuntimeError, wkw.wkw.WKWException) as error:
            raise VolumeError(f"cannot read {place} as wkw ({error}); give a folder with a whole {HEADER}") from error
        header = dataset.header
        box = _bounding_box(layer, factor)
        if box is None:
            box, word = _cubes_box(place, header.block_len * header.file_len), "the stored files"
            notes.append(
                f"no {PROPERTIES} says how large the layer is, so it is as large as its files, black at the edges"
            )
        else:
            word = f"boundingBox of {PROPERTIES}"
        axes = Stated("cxyz", "convention of wkw")
        voxels = WkwArray(dataset, box)
        block = header.block_len
        array = FileArray(str(place), "wkw", voxels, (header.num_channels, block, block, block), notes=tuple(notes))
        metadata = _metadata(axes, scale, factor, box.minimum, word, layer)
        source = array_source(array, chosen_axes(array, axes, options), metadata, options)
        return replace(source, close=stack.pop_all().close)


class WkwArray:
    """The voxels of a box of a wkw dataset, as an array (c, x, y, z); files that there are not are 0."""

    def __init__(self, dataset: Any, box: Box) -> None:
        self._dataset, self._box = dataset, box
        self.dtype = np.dtype(dataset.header.voxel_type)
        self.shape = (dataset.header.num_channels, *box.shape)

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        ranges = [range(*part.indices(size)) for part, size in zip(index[1:], self.shape[1:], strict=True)]
        start = [r.start + corner for r, corner in zip(ranges, self._box.minimum, strict=True)]
        found: NDArray[Any] = self._dataset.read(start, [len(r) for r in ranges])
        return found[index[0]]


def _magnification_folder(folder: Path, dataset: str | None) -> tuple[Path, list[str]]:
    """The folder of a magnification: the one that is named, or the finest of the only layer."""
    named = folder / dataset.strip("/") if dataset else folder
    if (named / HEADER).exists():
        return named, []
    found = sorted(path.parent for depth in ("*/", "*/*/") for path in named.glob(f"{depth}{HEADER}"))
    layers = sorted({path.parent for path in found})
    if len(layers) != 1:
        listed = ", ".join(str(path.relative_to(folder)) for path in found) or "none"
        raise VolumeError(
            f"{folder} holds {len(layers)} layers of wkw; name one as {folder.name}:LAYER/1. There are: {listed}"
        )
    finest = min(found, key=_factor)
    others = [path.name for path in found if path != finest]
    return finest, [f"magnification {finest.name} is read, of {finest.name}, {', '.join(others)}"] if others else []


def _factor(place: Path) -> Triple:
    """How many voxels of the finest magnification one voxel of this folder's is, along x, y, z."""
    named = MAGNIFICATION.fullmatch(place.name)
    if named is None:
        return (1, 1, 1)
    x = int(named[1])
    return (x, int(named[2] or x), int(named[3] or x))


def _properties(layer: Path) -> tuple[Mapping[str, Any], Any]:
    """What the dataset's properties say of a layer, and their scale; empty and None where there are none."""
    file = layer.parent / PROPERTIES
    if not file.exists():
        return {}, None
    try:
        said = json.loads(file.read_text())
        layers = [entry for entry in said.get("dataLayers", ()) if entry.get("name") == layer.name]
    except (ValueError, AttributeError) as error:
        raise VolumeError(f"{file} is no JSON of a dataset ({error}); write it again") from error
    return (layers[0] if layers else {}), said.get("scale")


def _bounding_box(layer: Mapping[str, Any], factor: Triple) -> Box | None:
    """The layer's box in voxels of a magnification: whole ones around that of the finest."""
    said = layer.get("boundingBox")
    if said is None:
        return None
    corner, size = said["topLeft"], (said["width"], said["height"], said["depth"])
    low = [int(c) // f for c, f in zip(corner, factor, strict=True)]
    high = [-(-(int(c) + int(s)) // f) for c, s, f in zip(corner, size, factor, strict=True)]
    return Box(triple(low), triple(high))


def _cubes_box(place: Path, edge: int) -> Box:
    """The hull of the files that are stored, each of `edge` voxels along every axis."""
    found = [CUBE.fullmatch(path.relative_to(place).as_posix()) for path in place.glob("z*/y*/x*.wkw")]
    cubes = [(int(m[3]), int(m[2]), int(m[1])) for m in found if m is not None]
    if not cubes:
        raise VolumeError(f"{place} holds no voxels: there is no z0/y0/x0.wkw or other file; copy the folder again")
    low, high = np.min(cubes, axis=0) * edge, (np.max(cubes, axis=0) + 1) * edge
    return Box(triple(low.tolist()), triple(high.tolist()))


def dataset_metadata(folder: Path, axes: Stated[str]) -> ArrayMetadata:
    """Size and kind of a magnification's array, which may be of another format than wkw and then begins at 0."""
    layer, scale = _properties(folder.parent)
    return _metadata(axes, scale, _factor(folder), (0, 0, 0), "the stored array", layer)


def _metadata(
    axes: Stated[str], scale: Any, factor: Triple, start: Triple, start_origin: str, layer: Mapping[str, Any]
) -> ArrayMetadata:
    category = layer.get("category")
    kind: Stated[Any] | None = None
    if category in ("segmentation", "color"):
        kind = Stated("segmentation" if category == "segmentation" else "image", f"category in {PROPERTIES}")
    steps = numbers(scale.get("factor") if isinstance(scale, Mapping) else scale)
    unit = scale.get("unit", "nanometer") if isinstance(scale, Mapping) else "nanometer"
    if steps is None or len(steps) != 3:
        return ArrayMetadata(axes, kind=kind)
    nanometres = nanometres_of(unit)
    sizes = {
        a: None if nanometres is None else s * f * nanometres for a, s, f in zip("xyz", steps, factor, strict=True)
    }
    found, problem = voxel_size(sizes, f"{steps} {unit} times {factor}", f"scale of {PROPERTIES}")
    places = {axis: (sizes[axis] or 0) * voxel for axis, voxel in zip("xyz", start, strict=True)}
    return ArrayMetadata(axes, found, stated_corner(places, start_origin), kind, problem)
