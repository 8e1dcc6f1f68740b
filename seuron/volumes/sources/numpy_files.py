"""NumPy's .npy, mapped into memory, and .npz, whose arrays are unpacked to a temporary file. Neither says units."""

from __future__ import annotations

import zipfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from seuron.errors import VolumeError
from seuron.volumes.array_metadata import ArrayMetadata
from seuron.volumes.sources.array_source import FileArray, array_source, chosen_axes
from seuron.volumes.sources.hdf5 import chosen_name
from seuron.volumes.sources.mapped import MappedArray, mapped_array
from seuron.volumes.sources.source import SourceOptions, SourceVolume
from seuron.volumes.sources.unpacked import unpacked


def open_npy(path: Path, options: SourceOptions) -> SourceVolume:
    """The array of an .npy file. Raises VolumeError for what is no whole array of numbers."""
    with path.open("rb") as file:
        header = _header(str(path), file)
    return _source(str(path), path, header.mapped(str(path), path), options)


def open_npz(path: Path, options: SourceOptions) -> SourceVolume:
    """An array of an .npz file; `dataset` is its name."""
    with ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(path))
            members = [name for name in archive.namelist() if name.endswith(".npy")]
            known = {}
            for member in members:
                with archive.open(member) as packed:
                    header = _header(f"{path}:{member}", packed)
                if len(header.shape) >= 2:
                    known[member.removesuffix(".npy")] = header
            chosen = chosen_name(path, options.dataset, known)
            name = f"{path}:{chosen}"
            with archive.open(f"{chosen}.npy") as packed:
                whole = stack.enter_context(unpacked(name, packed))
        except (zipfile.BadZipFile, EOFError) as error:
            raise VolumeError(f"cannot read {path} as .npz ({error}); copy or save it again") from error
        source = _source(name, path, known[chosen].mapped(name, whole), options)
        return replace(source, close=stack.pop_all().close)


@dataclass(frozen=True)
class NpyHeader:
    """The header of an .npy file, and where its voxels begin."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    offset: int

    def mapped(self, name: str, file: Any) -> NDArray[Any]:
        """The array in a file, mapped into memory."""
        return mapped_array(name, file, self.dtype, self.shape, self.offset, fortran=self.fortran)


def _header(name: str, file: IO[bytes]) -> NpyHeader:
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except ValueError as error:
        raise VolumeError(f"cannot read {name} as .npy ({error}); save it again with numpy.save") from error
    if dtype.kind not in "biuf":
        raise VolumeError(f"{name} holds {dtype}; allowed are integers, floats and bool")
    return NpyHeader(shape, dtype, fortran, file.tell())


def _source(name: str, path: Path, voxels: NDArray[Any], options: SourceOptions) -> SourceVolume:
    array = FileArray(name, "NumPy", MappedArray(voxels), files=(str(path),))
    return array_source(array, chosen_axes(array, None, options), ArrayMetadata(), options)
