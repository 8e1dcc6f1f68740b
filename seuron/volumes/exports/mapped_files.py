"""Formats that are a header and the voxels behind it: TIFF, NRRD, NumPy. Boxes are written into the mapped file.

The file is mapped for each box and let go after it, so that memory holds no more than a box.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box
from seuron.volumes.exports.target import ExportedArray, Target

#: What ImageJ knows of types, and how large its files may be.
IMAGEJ_TYPES = ("uint8", "uint16", "float32")
CLASSIC_BYTES = 2**32 - 2**16


@contextmanager
def open_tiff(path: Path, array: ExportedArray) -> Iterator[Target]:
    """A TIFF stack, not compressed: ImageJ's for one channel of a type and size that it knows, else an OME-TIFF.

    Pages are sections, and within a section channels.
    """
    import tifffile

    x, y, z = array.resolution_nm
    # Of one column, or of one section with channels, readers of ImageJ's description take one axis for another.
    plain = array.channels == 1 and array.shape[0] > 1
    imagej = plain and array.dtype.name in IMAGEJ_TYPES and array.bytes < CLASSIC_BYTES
    axes = "ZYX" if array.channels == 1 else "ZCYX"
    sizes = {"X": array.shape[0], "Y": array.shape[1], "Z": array.shape[2], "C": array.channels}
    described: dict[str, Any] = {"axes": axes}
    if imagej:
        described |= {"spacing": z, "unit": "nm"}
    else:
        for axis, size in zip("XYZ", array.resolution_nm, strict=True):
            described |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "nm"}
    mapped = tifffile.memmap(
        path,
        shape=tuple(sizes[axis] for axis in axes),
        dtype=array.dtype,
        bigtiff=array.bytes >= CLASSIC_BYTES,
        imagej=imagej,
        ome=not imagej,
        photometric="minisblack",
        # In pixels per unit. The unit of the tag itself has no nanometre; ImageJ takes that of its description.
        resolution=(1 / x, 1 / y) if imagej else (1e7 / x, 1e7 / y),
        resolutionunit="NONE" if imagej else "CENTIMETER",
        metadata=described,
    )
    dtype, offset, shape = mapped.dtype, mapped.offset, mapped.shape
    del mapped

    def write(box: Box, voxels: NDArray[Any]) -> None:
        columns, rows, sections = box.slices
        pages = voxels.transpose(2, 3, 1, 0)  # z, c, y, x
        part = (sections, rows, columns) if array.channels == 1 else (sections, slice(None), rows, columns)
        _fill(path, dtype, offset, shape, "C", part, pages[:, 0] if array.channels == 1 else pages)

    yield Target(write)


@contextmanager
def open_nrrd(path: Path, array: ExportedArray) -> Iterator[Target]:
    """An NRRD file, raw: axes x, y, z and channels, with space directions and origin in nm."""
    import nrrd

    directions = [[size if i == j else 0.0 for j in range(3)] for i, size in enumerate(array.resolution_nm)]
    shape = [*array.shape, array.channels] if array.channels > 1 else list(array.shape)
    header = {
        "encoding": "raw",
        "space dimension": 3,
        "space units": ["nm"] * 3,
        "space origin": list(array.offset_nm),
        "space directions": np.array(directions + [[np.nan] * 3] * (len(shape) - 3)),
        "kinds": ["domain"] * 3 + ["list"] * (len(shape) - 3),
    }
    # pynrrd writes headers only with their data, all of it in memory: so that of one voxel, with the sizes replaced.
    single = io.BytesIO()
    nrrd.write(single, np.zeros([1] * len(shape), array.dtype), header)
    text, _, _ = single.getvalue().partition(b"\n\n")
    sizes = b"sizes: " + b" ".join(b"1" for _ in shape)
    assert text.count(sizes) == 1
    content = text.replace(sizes, b"sizes: " + " ".join(map(str, shape)).encode()) + b"\n\n"
    with path.open("wb") as file:
        file.write(content)
        file.truncate(len(content) + array.bytes)

    def write(box: Box, voxels: NDArray[Any]) -> None:
        _fill(path, array.dtype, len(content), tuple(shape), "F", box.slices, _squeezed(voxels))

    yield Target(write)


@contextmanager
def open_npy(path: Path, array: ExportedArray) -> Iterator[Target]:
    """A .npy file: z, y, x, or c, z, y, x."""
    shape = array.shape[::-1] if array.channels == 1 else (array.channels, *array.shape[::-1])
    mapped = np.lib.format.open_memmap(path, "w+", array.dtype, shape)
    offset = mapped.offset
    del mapped

    def write(box: Box, voxels: NDArray[Any]) -> None:
        part = box.slices[::-1] if array.channels == 1 else (slice(None), *box.slices[::-1])
        _fill(path, array.dtype, offset, shape, "C", part, _squeezed(voxels).T)

    yield Target(write)


def _squeezed(voxels: NDArray[Any]) -> NDArray[Any]:
    """(X, Y, Z) of one channel, as it is of several."""
    return voxels[..., 0] if voxels.shape[3] == 1 else voxels


def _fill(
    path: Path,
    dtype: np.dtype[Any],
    offset: int,
    shape: tuple[int, ...],
    order: Literal["C", "F"],
    part: tuple[slice, ...],
    voxels: NDArray[Any],
) -> None:
    """Write a part of the array that begins at `offset` of a file."""
    mapped = np.memmap(path, dtype, "r+", offset, shape, order)
    mapped[part] = voxels
    mapped.flush()
