"""NRRD, attached and detached: raw data is mapped into memory, packed data is unpacked to a temporary file.

The fastest axis stands first in NRRD, and so do sizes, spacings and directions; arrays here are in that order.
The origin is the place of the first voxel: a volume whose origin is 0 begins at voxel 0.
"""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from seuron.errors import VolumeError
from seuron.volumes.array_metadata import ArrayMetadata, nanometres_of, stated_corner, voxel_size
from seuron.volumes.sources.array_source import FileArray, array_source, chosen_axes
from seuron.volumes.sources.mapped import MappedArray, mapped_array
from seuron.volumes.sources.source import SourceOptions, SourceVolume, Stated
from seuron.volumes.sources.unpacked import unpacked

RAW, GZIP, BZIP2 = ("raw",), ("gzip", "gz"), ("bzip2", "bz2")
#: Kinds of axes that are none of space.
TIMES, DOMAINS = ("time",), ("domain", "space", "none", "???")


def open_nrrd(path: Path, options: SourceOptions) -> SourceVolume:
    """The array of an NRRD file. Raises VolumeError for what is no whole file of that format."""
    import nrrd

    with ExitStack() as stack:
        try:
            with path.open("rb") as file:
                header = dict(nrrd.read_header(file))
                start = file.tell()
            # Its types have several names each and an endianness beside them; pynrrd gives it no public function.
            dtype = np.dtype(nrrd.reader._determine_datatype(header))
        except (nrrd.NRRDError, ValueError, KeyError) as error:
            raise VolumeError(f"cannot read {path} as NRRD ({error}); give a complete file") from error
        voxels = _voxels(path, header, dtype, start, stack)
        files = tuple(dict.fromkeys((str(path), str(_data_file(path, header)))))
        array = FileArray(str(path), "NRRD", MappedArray(voxels), files=files)
        named, metadata = _described(header, len(voxels.shape))
        source = array_source(array, chosen_axes(array, named, options), metadata, options)
        return replace(source, close=stack.pop_all().close)


def _data_file(path: Path, header: Mapping[str, Any]) -> Path:
    name = header.get("data file", header.get("datafile"))
    if name is None:
        return path
    if not isinstance(name, str) or name.upper().startswith("LIST") or "%" in name:
        raise VolumeError(f"{path} has its data in several files ({name}); join them into one with `unu save`")
    return path.parent / name


def _voxels(path: Path, header: Mapping[str, Any], dtype: np.dtype[Any], start: int, stack: ExitStack) -> NDArray[Any]:
    """The array as the file has it, fastest axis first."""
    data = _data_file(path, header)
    if not data.exists():
        raise VolumeError(f"{path} has its data in {data}, which is not there; put it beside the header")
    encoding = str(header.get("encoding", "raw")).lower()
    skipped = int(header.get("byte skip", header.get("byteskip", 0)))
    lines = int(header.get("line skip", header.get("lineskip", 0)))
    if encoding not in (*RAW, *GZIP, *BZIP2) or lines or skipped < -1:
        raise VolumeError(f"{path} is encoded as {encoding} with {lines} lines to skip; save it as raw or gzip")
    shape = tuple(int(size) for size in header["sizes"])
    offset = start if data == path else 0
    if encoding in RAW:
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        at = data.stat().st_size - size if skipped == -1 else offset + skipped
        return mapped_array(str(path), data, dtype, shape, at, fortran=True)
    file = stack.enter_context(data.open("rb"))
    file.seek(offset)
    packed = stack.enter_context(gzip.GzipFile(fileobj=file) if encoding in GZIP else bz2.BZ2File(file))
    whole = stack.enter_context(unpacked(str(path), cast(IO[bytes], packed)))
    return mapped_array(str(path), whole, dtype, shape, max(0, skipped), fortran=True)


def _described(header: Mapping[str, Any], dimensions: int) -> tuple[Stated[str] | None, ArrayMetadata]:
    """Axes, size and corner that the header says; NRRD's order is x first where it names no axes."""
    kinds = [str(kind).lower() for kind in header.get("kinds", ["domain"] * dimensions)]
    matrix = header.get("space directions")
    letters, steps, notes, problem = _steps(header, matrix, kinds)
    axes = Stated(letters, "space directions" if matrix is not None else "convention of NRRD")
    if not steps:
        return axes, ArrayMetadata(axes, size_problem=problem, notes=tuple(notes))
    units = _units(header, letters)
    factors = {axis: nanometres_of(units.get(axis, "")) for axis in "xyz"}
    sizes = {axis: None if (f := factors[axis]) is None else step * f for axis, step in steps.items()}
    said = ", ".join(f"{axis} {step:g} {units.get(axis) or 'without a unit'}" for axis, step in steps.items())
    origin = "NRRD space directions" if matrix is not None else "NRRD spacings"
    found, problem = voxel_size(sizes, said, origin)
    corner = None
    if matrix is not None and (place := header.get("space origin")) is not None:
        values = zip("xyz", map(float, place), strict=False)
        places = {axis: None if (f := factors[axis]) is None else value * f for axis, value in values}
        corner = stated_corner(places, "NRRD space origin") if any(float(v) for v in place) else None
    return axes, ArrayMetadata(axes, found, corner, size_problem=problem, notes=tuple(notes))


def _steps(header: Mapping[str, Any], matrix: Any, kinds: list[str]) -> tuple[str, dict[str, float], list[str], str]:
    """Letters of the axes, the step along each axis of space, notes, and why there are no steps."""
    rows: list[Any] = list(matrix) if matrix is not None else [None] * len(kinds)
    spatial = [k in DOMAINS for k in kinds]
    if matrix is not None:
        spatial = [row is not None and not np.isnan(np.asarray(row, float)).any() for row in rows]
    space = iter("xyz")
    letters = "".join(
        next(space, "c") if s else "t" if k in TIMES else "c" for s, k in zip(spatial, kinds, strict=True)
    )
    if matrix is None:
        spacings = [float(value) for value in header.get("spacings", [])]
        pairs = zip(letters, spacings, strict=False)
        return letters, {axis: step for axis, step in pairs if axis in "xyz" and step == step}, [], ""
    vectors = [np.asarray(row, float) for row, s in zip(rows, spatial, strict=True) if s]
    along = [int(np.argmax(np.abs(vector))) for vector in vectors]
    aligned = all(np.count_nonzero(np.abs(v) > 1e-6 * np.abs(v).max()) == 1 for v in vectors)
    if not aligned or len(set(along)) != len(along):
        return (
            letters,
            {},
            [],
            f"NRRD space directions {np.asarray(vectors).tolist()} are oblique, and voxels here are not",
        )
    named = iter("xyz"[i] for i in along)
    letters = "".join(next(named) if s else letter for s, letter in zip(spatial, letters, strict=True))
    steps = {"xyz"[i]: float(abs(vector[i])) for i, vector in zip(along, vectors, strict=True)}
    turned = [("xyz"[i]) for i, vector in zip(along, vectors, strict=True) if vector[i] < 0]
    notes = [f"axis {axis} runs backwards in space; voxels stay in the file's order" for axis in turned]
    return letters, steps, notes, ""


def _units(header: Mapping[str, Any], letters: str) -> dict[str, str]:
    """The unit along each axis: `space units` of the space, or `units` of the array's axes."""
    if "space units" in header:
        return dict(zip("xyz", map(str, header["space units"]), strict=False))
    return {axis: str(unit) for axis, unit in zip(letters, header.get("units", []), strict=False) if axis in "xyz"}
