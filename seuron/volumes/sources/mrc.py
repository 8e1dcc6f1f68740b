"""MRC and REC: the files of electron tomography."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from seuron.errors import VolumeError
from seuron.volumes.array_metadata import ArrayMetadata, stated_corner, voxel_size
from seuron.volumes.sources.array_source import FileArray, array_source, chosen_axes
from seuron.volumes.sources.mapped import MappedArray
from seuron.volumes.sources.source import SourceOptions, SourceVolume, Stated

#: A word in the header of files that IMOD writes, and the flag behind it that says that bytes are signed.
IMOD_STAMP, SIGNED_BYTES = 1146047817, 1
NANOMETRES_PER_ANGSTROM = 0.1


def open_mrc(path: Path, options: SourceOptions) -> SourceVolume:
    """The array of an MRC file, mapped into memory. Raises VolumeError for what is no whole file of voxels."""
    import mrcfile

    with ExitStack() as stack:
        try:
            file = stack.enter_context(mrcfile.mmap(path, mode="r"))
        except (OSError, ValueError) as error:
            raise VolumeError(
                f"cannot read {path} as MRC ({error}); give a complete file that is not compressed"
            ) from error
        voxels = file.data
        if voxels.dtype.kind not in "iuf":
            raise VolumeError(f"{path} holds {voxels.dtype} (mode {file.header.mode}); allowed are integers and floats")
        notes: tuple[str, ...] = ()
        if voxels.dtype == np.int8 and _imod_unsigned(file):
            voxels, notes = voxels.view(np.uint8), ("bytes are unsigned, as IMOD's header says",)
        native = MappedArray(voxels)
        array = FileArray(str(path), "MRC", native, files=(str(path),), notes=notes)
        named = _axes(path, file.header, voxels.ndim)
        source = array_source(array, chosen_axes(array, named, options), _metadata(file, named), options)
        return replace(source, close=stack.pop_all().close)


def _imod_unsigned(file: Any) -> bool:
    """Whether IMOD wrote the file and says that its bytes are unsigned; the standard has them signed."""
    stamp, flags = np.frombuffer(
        file.header.tobytes(), np.dtype(np.int32).newbyteorder(file.header.nx.dtype.byteorder)
    )[38:40]
    return bool(stamp == IMOD_STAMP and not flags & SIGNED_BYTES)


def _axes(path: Path, header: Any, dimensions: int) -> Stated[str]:
    """Which axis the columns, rows and sections of the file run along; 0 stands for the usual ones in old files."""
    order = [int(header.mapc), int(header.mapr), int(header.maps)]
    if order == [0, 0, 0]:
        order = [1, 2, 3]
    if sorted(order) != [1, 2, 3]:
        raise VolumeError(f"{path}: its header says that its axes are {order}, and they are 1, 2, 3 in any order")
    letters = "".join(" xyz"[axis] for axis in reversed(order))
    return Stated(letters[-dimensions:] if dimensions < 4 else f"t{letters}", "MRC header (MAPC, MAPR, MAPS)")


def _metadata(file: Any, axes: Stated[str]) -> ArrayMetadata:
    """The size and the corner in the header: CELLA through MX, MY, MZ in angstrom, and NXSTART in voxels."""
    angstrom = {axis: float(file.voxel_size[axis]) for axis in "xyz"}
    notes = []
    if any(float(file.header.origin[axis]) for axis in "xyz"):
        notes.append(f"the header's ORIGIN {file.header.origin} is not followed, as programs differ in what it means")
    said = ", ".join(f"{axis} {size:g} angstrom" for axis, size in angstrom.items())
    if not any(angstrom.values()):
        return ArrayMetadata(axes, notes=tuple(notes))
    if set(angstrom.values()) == {1.0}:
        problem = f"MRC header says {said}, which is what programs write that do not know it"
        return ArrayMetadata(axes, size_problem=problem, notes=tuple(notes))
    sizes = {axis: size * NANOMETRES_PER_ANGSTROM or None for axis, size in angstrom.items()}
    found, problem = voxel_size(sizes, said, "MRC header (CELLA)")
    starts = {axis: int(file.nstart[axis]) for axis in "xyz"}
    places = {axis: start * (sizes[axis] or 0) for axis, start in starts.items()}
    corner = stated_corner(places, "MRC header (NXSTART)") if any(starts.values()) else None
    return ArrayMetadata(axes, found, corner, size_problem=problem, notes=tuple(notes))
