"""KNOSSOS: raw cubes of 128 voxels in a tree of folders, with a knossos.conf of `key value;` lines.

FOLDER/knossos.conf, FOLDER/x0000/y0000/z0000/NAME_x0000_y0000_z0000.raw    one byte a voxel, x fastest
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, triple
from seuron.errors import DataError, VolumeError
from seuron.volumes.array_metadata import ArrayMetadata, voxel_size
from seuron.volumes.sources.array_source import FileArray, array_source, chosen_axes
from seuron.volumes.sources.source import SourceOptions, SourceVolume, Stated

CONFIGURATION = "knossos.conf"
CUBE_EDGE = 128
CUBE = re.compile(r".*_x(\d+)_y(\d+)_z(\d+)\.(.+)", re.IGNORECASE)


def open_knossos(folder: Path, options: SourceOptions) -> SourceVolume:
    """The volume of a KNOSSOS folder. Raises VolumeError for what it lacks, and for cubes that are not raw."""
    said = _configuration(folder / CONFIGURATION)
    missing = [f"boundary {axis}" for axis in "xyz" if f"boundary {axis}" not in said]
    if missing:
        raise VolumeError(f"{folder / CONFIGURATION} lacks {', '.join(missing)}; write the size in voxels there")
    shape = triple([int(said[f"boundary {axis}"]) for axis in "xyz"])
    cubes = _cubes(folder)
    expected = [index for index, _ in Box((0, 0, 0), shape).cells((CUBE_EDGE,) * 3)]
    absent = [index for index in expected if index not in cubes]
    notes = (f"{len(absent)} of {len(expected)} cubes are not stored, and black",) if absent else ()
    axes = Stated("zyx", "convention of KNOSSOS")
    files = (str(folder / CONFIGURATION), *map(str, cubes.values()))
    array = FileArray(str(folder), "KNOSSOS", CubeArray(shape, cubes), (CUBE_EDGE,) * 3, files=files, notes=notes)
    return array_source(array, chosen_axes(array, axes, options), _metadata(axes, said), options)


def _configuration(path: Path) -> dict[str, str]:
    """`scale x 9.0;` as {"scale x": "9.0"}."""
    found = {}
    for line in path.read_text(errors="replace").splitlines():
        words = line.strip().rstrip(";").split()
        if len(words) > 1:
            found[" ".join(words[:-1]).lower()] = words[-1].strip('"')
    return found


def _metadata(axes: Stated[str], said: dict[str, str]) -> ArrayMetadata:
    """`scale` is in nm of the finest magnification or of this one, which is open unless `magnification` is 1."""
    sizes = {axis: float(said[f"scale {axis}"]) for axis in "xyz" if f"scale {axis}" in said}
    if not sizes:
        return ArrayMetadata(axes)
    shown = ", ".join(f"{axis} {size:g}" for axis, size in sizes.items())
    if float(said.get("magnification", 1)) != 1:
        problem = (
            f"{CONFIGURATION} says {shown} beside a magnification of {said['magnification']}, which leaves it open"
        )
        return ArrayMetadata(axes, size_problem=problem)
    found, problem = voxel_size(sizes, shown, f"scale of {CONFIGURATION}")
    return ArrayMetadata(axes, found, size_problem=problem)


def _cubes(folder: Path) -> dict[tuple[int, int, int], Path]:
    """The files of cubes by their index along x, y, z."""
    found: dict[tuple[int, int, int], Path] = {}
    other = []
    for path in sorted(folder.glob("x*/y*/z*/*")):
        named = CUBE.fullmatch(path.name)
        if named is None:
            continue
        if named[4].lower() == "raw":
            found[int(named[1]), int(named[2]), int(named[3])] = path
        else:
            other.append(path)
    if other and not found:
        raise VolumeError(
            f"{folder} holds cubes as {other[0].name}; raw cubes are read: convert them, for example with knossos_utils"
        )
    if not found:
        raise VolumeError(
            f"{folder} holds no cubes such as x0000/y0000/z0000/NAME_x0000_y0000_z0000.raw; copy it again"
        )
    return found


class CubeArray:
    """Cubes as an array (z, y, x) of uint8; a cube that is not stored is black."""

    def __init__(self, shape: tuple[int, int, int], cubes: dict[tuple[int, int, int], Path]) -> None:
        self._cubes = cubes
        self.shape, self.dtype = tuple(reversed(shape)), np.dtype(np.uint8)

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        ranges = [range(*part.indices(size)) for part, size in zip(index, self.shape, strict=True)]
        wanted = Box(triple([r.start for r in reversed(ranges)]), triple([r.stop for r in reversed(ranges)]))
        found = np.zeros(tuple(len(r) for r in ranges), np.uint8)
        for number, part in wanted.cells((CUBE_EDGE,) * 3, (0, 0, 0)):
            path = self._cubes.get(number)
            if path is not None:
                x, y, z = part.shifted([-CUBE_EDGE * n for n in number]).slices
                (tx, ty, tz) = part.within(wanted)
                found[tz, ty, tx] = self._cube(path)[z, y, x]
        return found

    def _cube(self, path: Path) -> NDArray[np.uint8]:
        if path.stat().st_size != CUBE_EDGE**3:
            raise DataError(f"{path} has {path.stat().st_size} bytes, and a raw cube has {CUBE_EDGE**3}; copy it again")
        return np.memmap(path, np.uint8, "r", shape=(CUBE_EDGE,) * 3)
