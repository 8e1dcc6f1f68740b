"""Which reader a path is for: by what lies in a folder, and by the suffix of a file.

A path names an array in a file or folder behind a colon: `file.h5:volumes/raw`, `image.zarr:0`, `stack.tif:1`.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from seuron.box import Box
from seuron.errors import DataError, SeuronError, VolumeError
from seuron.storage import local_folder
from seuron.storage.files import decoding_errors
from seuron.volumes.sources.array_source import place_given
from seuron.volumes.sources.source import SourceOptions, SourceVolume

Reader = Callable[[Path, SourceOptions], SourceVolume]

#: Suffixes of files, the module that reads them, its function, and the libraries that it needs.
FILES: tuple[tuple[tuple[str, ...], str, str], ...] = (
    ((".h5", ".hdf5", ".hdf", ".he5", ".ilp"), "hdf5", "open_hdf5"),
    ((".tif", ".tiff", ".btf", ".tf8"), "tiff", "open_tiff"),
    ((".png", ".jpg", ".jpeg"), "sections", "open_sections"),
    ((".mrc", ".rec", ".st", ".ali", ".map"), "mrc", "open_mrc"),
    ((".nrrd", ".nhdr"), "nrrd", "open_nrrd"),
    ((".npy",), "numpy_files", "open_npy"),
    ((".npz",), "numpy_files", "open_npz"),
)
#: Readers of formats that hold one array, which nothing names.
ONE_ARRAY = ("open_sections", "open_mrc", "open_nrrd", "open_npy", "open_knossos")
NAMES = {
    "HDF5": ".h5, .hdf5, .hdf",
    "TIFF": ".tif, .tiff, .btf",
    "MRC": ".mrc, .rec, .st, .ali, .map",
    "NRRD": ".nrrd, .nhdr",
    "NumPy": ".npy, .npz",
    "folders": "Zarr, N5, precomputed, wkw, KNOSSOS, sections as PNG, JPEG or TIFF",
}


def open_source(path: str, options: SourceOptions | None = None) -> SourceVolume:
    """Open a volume in any format that is known, as its file, a person's options and conventions describe it.

    Nothing of the file is changed. Raises VolumeError for what cannot be opened or is not whole, with all problems,
    and `read` of what is given raises DataError for voxels that cannot be decoded.
    """
    options = options or SourceOptions()
    try:
        source = _opened(path, options)
    except SeuronError:
        raise
    except ModuleNotFoundError as error:
        raise VolumeError(
            f"reading {path} needs the Python package {error.name}, which is not installed: "
            "pip install 'seuron[formats]'"
        ) from error
    except unreadable() as error:
        raise VolumeError(
            f"cannot read {path} ({type(error).__name__}: {error}); it is damaged, or not what its name says"
        ) from error
    try:
        return place_given(_readable(source), options)
    except SeuronError:
        source.close()
        raise


def _opened(path: str, options: SourceOptions) -> SourceVolume:
    if local_folder(path) is None:
        from seuron.volumes.detection import dataset_path
        from seuron.volumes.sources.stored_arrays import open_stored

        suffixes = tuple(suffix for suffixes, _, _ in FILES for suffix in suffixes)
        if path.lower().rpartition(":")[0].endswith(suffixes) or path.lower().endswith(suffixes):
            raise VolumeError(
                f"{path} is one file in an object store, of which its library reads files on this machine only; "
                "copy it here first. Zarr, N5 and precomputed are read where they are"
            )
        return open_stored(dataset_path(path), options)
    place, dataset = _split(path.removeprefix("file://"))
    if dataset is not None:
        options = replace(options, dataset=options.dataset or dataset)
    reader = _reader(path, place)
    if options.dataset is not None and getattr(reader, "__name__", "") in ONE_ARRAY:
        raise VolumeError(f"{place} holds one array without a name; leave {options.dataset!r} out")
    return reader(place, options)


def _split(path: str) -> tuple[Path, str | None]:
    """The file or folder of a path, and the array's name behind its last colon where there is no such file."""
    place = Path(path).expanduser()
    before, colon, name = path.rpartition(":")
    if not place.exists() and colon and before and Path(before).expanduser().exists():
        return Path(before).expanduser(), name
    return place, None


def _reader(path: str, place: Path) -> Reader:
    if not place.exists():
        raise VolumeError(f"cannot import {path}: there is no such file or folder; check the path")
    if place.is_dir():
        return _folder_reader(place)
    suffix = place.suffix.lower()
    for suffixes, module, function in FILES:
        if suffix in suffixes:
            return _function(module, function)
    raise VolumeError(
        f"cannot import {path}: {suffix or 'a file without a suffix'} is none of the formats known, which are "
        + "; ".join(f"{name} ({suffixes})" for name, suffixes in NAMES.items())
    )


def _folder_reader(place: Path) -> Reader:
    from seuron.volumes.sources.knossos import CONFIGURATION
    from seuron.volumes.sources.stored_arrays import is_stored, open_stored
    from seuron.volumes.sources.webknossos import PROPERTIES, is_wkw

    if is_stored(str(place)):
        return lambda place, options: open_stored(str(place), options)
    if (place / CONFIGURATION).exists():
        return _function("knossos", "open_knossos")
    if is_wkw(place):
        return _function("webknossos", "open_wkw")
    if (place / PROPERTIES).exists():  # its layers are Zarr
        return lambda place, options: open_stored(str(place), options)
    return _function("sections", "open_sections")


def _function(module: str, function: str) -> Reader:
    """A reader, whose module is loaded when it is needed, as it may need a library that is not installed."""
    found: Reader = getattr(importlib.import_module(f"seuron.volumes.sources.{module}"), function)
    return found


def unreadable() -> tuple[type[Exception], ...]:
    """What libraries raise for content that they cannot decode."""
    return (OSError, RuntimeError, LookupError, TypeError, AttributeError, struct.error, *decoding_errors())


def _readable(source: SourceVolume) -> SourceVolume:
    """The source with a `read` that says in words where voxels cannot be decoded."""

    def read(box: Box) -> Any:
        try:
            return source.read(box)
        except SeuronError:
            raise
        except unreadable() as error:
            raise DataError(
                f"{source.name}: the voxels of {box} cannot be read ({type(error).__name__}: {error}); "
                "the file is damaged, or packed in a way that the installed libraries do not know"
            ) from error

    return replace(source, read=read)
