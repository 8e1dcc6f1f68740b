"""`seuron export`: a box of a layer as a file of another format, slab by slab, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

import numpy as np

from seuron.box import Box, Triple, triple
from seuron.errors import ParameterErrors, did_you_mean
from seuron.storage import local_folder
from seuron.volumes import Volume
from seuron.volumes.exports.labels import new_labels, write_label_table
from seuron.volumes.exports.target import GRID, ExportedArray, Writer, local_target, written_whole
from seuron.volumes.volume_import import SLAB_BYTES, Progress, slabs

INTEGERS = ("uint8", "uint16", "uint32", "uint64")


@dataclass(frozen=True)
class ExportFormat:
    """A format that layers are written in.

    Attributes:
        name: as `--format` has it.
        suffixes: of files and folders that are taken for it.
        writer: the module in this folder, and its function.
        dtypes: types that it stores.
        lacks: what it has no place for.
    """

    name: str
    suffixes: tuple[str, ...]
    writer: tuple[str, str]
    dtypes: tuple[str, ...] = (*INTEGERS, "float32")
    lacks: tuple[str, ...] = ()


FORMATS = {
    found.name: found
    for found in (
        ExportFormat("tiff", (".tif", ".tiff"), ("mapped_files", "open_tiff"), (*INTEGERS[:3], "float32"), ("corner",)),
        ExportFormat("hdf5", (".h5", ".hdf5", ".hdf"), ("hdf5", "open_hdf5")),
        ExportFormat("ome-zarr", (".zarr",), ("layers", "open_ome_zarr")),
        ExportFormat("n5", (".n5",), ("block_stores", "open_n5")),
        ExportFormat("wkw", (".wkw",), ("block_stores", "open_wkw")),
        ExportFormat("nrrd", (".nrrd",), ("mapped_files", "open_nrrd")),
        ExportFormat("numpy", (".npy",), ("mapped_files", "open_npy"), lacks=("axes", "corner", "voxel size")),
        ExportFormat("precomputed", (), ("layers", "open_precomputed")),
    )
}


def export_layer(
    volume: Volume,
    target: str,
    *,
    format_name: str | None = None,
    box: Box | None = None,
    dtype: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Write a box of a layer's scale, by default all of it, as a file or folder; returns what a person should know.

    The format follows from the target's suffix where it is not named. Labels that do not fit into `dtype` are counted
    from 1 on, and `TARGET.labels.csv` says what they were. What is there already stays as it is until all is written,
    and without `overwrite` for good. Raises ParameterErrors with all that is in the way, and DataError for blocks that
    are missing or damaged.
    """
    chosen, path = _checked(volume, target, format_name, box, dtype, overwrite)
    array = ExportedArray(
        name=volume.path,
        box=box or volume.box,
        resolution_nm=volume.resolution_nm,
        dtype=np.dtype(dtype or _default_dtype(volume, chosen)),
        channels=volume.channels,
        kind=volume.kind,
        read=volume.read,
    )
    if volume.kind == "segmentation" and array.dtype.itemsize < volume.dtype.itemsize:
        boxes = (part.shifted(array.box.minimum) for part in _parts(volume, array, GRID))
        array = replace(array, labels=new_labels(volume.path, volume.read, boxes, array.dtype))
    with written_whole(path) as partial:
        write_array(_writer(chosen), partial, array, volume, progress)
    return tuple(_notes(chosen, path, array))


def write_array(
    writer: Writer, path: Path, array: ExportedArray, volume: Volume, progress: Progress | None = None
) -> None:
    """Write an array of a layer by a format's writer, slab by slab."""
    with writer(path, array) as found:
        done = 0
        for part in _parts(volume, array, found.grid):
            found.write(part, array.voxels(part))
            done += part.voxels
            if progress is not None:
                progress("export", done * array.bytes // array.box.voxels, array.bytes)


def _checked(
    volume: Volume, target: str, format_name: str | None, box: Box | None, dtype: str | None, overwrite: bool
) -> tuple[ExportFormat, Path]:
    """The format and the path of a target, where nothing is in the way."""
    problems: list[str] = []
    chosen = _format(target, format_name, problems)
    path = local_target(target, overwrite, local_folder(volume.path), problems)
    if box is not None and not volume.box.contains(box):
        problems.append(f"--box: {box} is outside of the layer, which is {volume.box} at scale {volume.mip}")
    if chosen is not None:
        problems += _dtype_problems(volume, chosen, dtype)
    if problems or chosen is None or path is None:
        raise ParameterErrors(problems, "the export")
    return chosen, path


def _format(target: str, name: str | None, problems: list[str]) -> ExportFormat | None:
    if name is not None:
        if name not in FORMATS:
            known = f"allowed are {', '.join(FORMATS)}"
            problems.append(f"--format: got {name!r}; {did_you_mean(name, FORMATS, known)}")
        return FORMATS.get(name)
    found = next((each for each in FORMATS.values() if each.suffixes and target.lower().endswith(each.suffixes)), None)
    if found is None:
        listed = ", ".join(f"{each.name} ({', '.join(each.suffixes) or 'no suffix'})" for each in FORMATS.values())
        problems.append(f"{target} says no format by its suffix; give --format, one of {listed}")
    return found


def _dtype_problems(volume: Volume, chosen: ExportFormat, dtype: str | None) -> Iterator[str]:
    wanted = dtype or _default_dtype(volume, chosen)
    if wanted not in chosen.dtypes:
        yield f"--dtype: got {wanted}; {chosen.name} has {', '.join(chosen.dtypes)}"
    elif volume.kind == "segmentation" and wanted not in INTEGERS:
        yield f"--dtype: got {wanted}; labels are {', '.join(INTEGERS)}"
    elif volume.kind == "image" and not np.can_cast(volume.dtype, wanted):
        yield (
            f"--dtype: got {wanted}, which does not hold every {volume.dtype}; leave it out, or make an image of "
            f"fewer bits by `seuron import {volume.path} OUT --window auto` and export that"
        )


def _default_dtype(volume: Volume, chosen: ExportFormat) -> str:
    """The layer's own type; the largest integers of a format that has none so large."""
    if volume.kind == "segmentation" and volume.dtype.name not in chosen.dtypes:
        return [name for name in chosen.dtypes if name in INTEGERS][-1]
    return volume.dtype.name


def _writer(chosen: ExportFormat) -> Writer:
    module, function = chosen.writer
    found: Writer = getattr(import_module(f"seuron.volumes.exports.{module}"), function)
    return found


def _parts(volume: Volume, array: ExportedArray, grid: Triple) -> list[Box]:
    """Boxes of the array on a grid, in the order they are written, of no less than the layer's stored blocks."""
    unit = triple([-(-block // step) * step for block, step in zip(volume.block_size, grid, strict=True)])
    voxel_bytes = max(volume.dtype.itemsize, array.dtype.itemsize) * array.channels
    return slabs(Box((0, 0, 0), array.shape), unit, voxel_bytes, SLAB_BYTES)


def _notes(chosen: ExportFormat, path: Path, array: ExportedArray) -> Iterator[str]:
    values = {
        "axes": "zyx" if array.channels == 1 else "czyx",
        "voxel size": f"{', '.join(f'{size:g}' for size in array.resolution_nm)} nm",
        "corner": f"voxel {', '.join(map(str, array.box.minimum))}",
    }
    for what in chosen.lacks:
        if what != "corner" or any(array.box.minimum):
            yield f"{chosen.name} has no place for the {what}: {values[what]}"
    if chosen.name == "wkw" and min(array.box.minimum) < 0:
        yield f"wkw has no places below 0: what lies at {values['corner']} in the layer lies at 0, 0, 0 in the file"
    if array.labels is not None:
        table = path.with_name(f"{path.name}.labels.csv")
        write_label_table(table, array.labels)
        yield f"labels do not fit into {array.dtype} and are counted from 1 on; {table} says what they are in the layer"
