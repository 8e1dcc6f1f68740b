"""An array with named axes as a source: its box of voxels along x, y, z with channels last, its size and its corner.

Axes are those that a person gives, else those that the file names, else the convention of its format, and the origin
says which. A series in time is several volumes, so one time has to be chosen; channels are kept, or one is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor, isfinite
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, Triple, triple
from seuron.errors import VolumeError
from seuron.volumes.array_metadata import ArrayMetadata, implausible, tidy
from seuron.volumes.sources.source import SourceOptions, SourceVolume, Stated

#: Axes of an array of so many dimensions, slowest first, where neither its file nor a person names them.
CONVENTION = {2: "yx", 3: "zyx", 4: "czyx"}
#: An axis of so many entries at most may be one of channels. An affinity map has three.
FEW_CHANNELS = 4


class Sliceable(Protocol):
    """What gives a part of an array for slices and whole numbers, one for each axis, as numpy does."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...

    def __getitem__(self, index: Any, /) -> Any: ...


@dataclass(frozen=True)
class FileArray:
    """An array of a file, before its axes are known.

    `chunks` is the shape of a stored block in the array's own order, None where any part costs the same to read.
    """

    name: str
    format: str
    array: Sliceable
    chunks: Sequence[int] | None = None
    close: Callable[[], None] = lambda: None
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self.array.shape)


def chosen_axes(
    array: FileArray, named: Stated[str] | None, options: SourceOptions, not_understood: Sequence[str] = ()
) -> Stated[str]:
    """The axes of an array: `--axes`, else what the file names, else the convention of its format.

    `not_understood` is what the file says of its axes where that names none of ours. Raises VolumeError for axes that
    do not fit, for what is not understood, and where the convention leaves two readings.
    """
    dimensions = len(array.shape)
    if options.axes is not None:
        return Stated(_given_axes(array, options.axes.lower()), "--axes")
    if named is not None:
        return named
    if not_understood:
        raise VolumeError(f"{array.name}: {'; '.join(not_understood)}. Name the axes of {array.shape} with --axes")
    if dimensions == 4 and array.shape[3] == 1 < array.shape[0]:
        return Stated("zyxc", "one value a voxel in the last axis")
    if dimensions == 4 and array.shape[3] <= FEW_CHANNELS < array.shape[0]:
        if np.dtype(array.array.dtype).kind == "f":
            return Stated("zyxc", f"{array.shape[3]} floats a voxel, as affinities have")
        raise VolumeError(
            f"{array.name}: an array of shape {array.shape} whose axes are not named may be zyxc or czyx; "
            "say which with --axes"
        )
    if dimensions not in CONVENTION:
        raise VolumeError(
            f"{array.name}: an array of shape {array.shape} is not a volume without a word on its axes; "
            "name them with --axes, such as tczyx"
        )
    return Stated(CONVENTION[dimensions], f"convention of {array.format.split()[0]}")


def _given_axes(array: FileArray, axes: str) -> str:
    if set(axes) - set("xyzct") or len(set(axes)) != len(axes) or len(axes) != len(array.shape):
        raise VolumeError(
            f"{array.name}: --axes {axes} does not name the {len(array.shape)} axes of an array of shape "
            f"{array.shape}; give each a letter of x, y, z, c, t, slowest first, such as {'tczyx'[-len(array.shape) :]}"
        )
    return axes


def array_source(array: FileArray, axes: Stated[str], metadata: ArrayMetadata, options: SourceOptions) -> SourceVolume:
    """A source over an array whose axes are known; a person's size and offset are `place_given`'s to put in.

    Raises VolumeError for an array that is not a volume, and for times and channels that are not there or not chosen.
    """
    sizes = dict(zip(axes.value, array.shape, strict=False))
    problems = _shape_problems(array, axes, sizes) or _choice_problems(array, sizes, options)
    if problems:
        raise VolumeError("; ".join(problems))
    channels = sizes.get("c", 1) if options.channel is None else 1
    described = _metadata_for(axes, metadata)
    notes = [*array.notes, *described.notes]
    if channels > 1:
        notes.append(f"all {channels} channels are kept; --channel takes one of them")
    dtype = np.dtype(array.array.dtype).newbyteorder("=")
    blocks = None if array.chunks is None else dict(zip(axes.value, array.chunks, strict=True))
    return SourceVolume(
        name=array.name,
        format=array.format,
        shape=_along(sizes),
        channels=channels,
        dtype=dtype,
        read=_reader(array.array, axes.value, dtype, options),
        axes=axes,
        resolution_nm=described.resolution_nm,
        corner_nm=described.corner_nm,
        kind=described.kind,
        blocks=None if blocks is None else _along(blocks),
        notes=tuple(notes),
        files=array.files,
        size_problem=described.size_problem,
        close=array.close,
    )


def _along(sizes: Mapping[str, int]) -> Triple:
    return triple([sizes.get(axis, 1) for axis in "xyz"])


def _shape_problems(array: FileArray, axes: Stated[str], sizes: Mapping[str, int]) -> list[str]:
    problems = []
    letters = axes.value
    if len(letters) != len(array.shape) or len(sizes) != len(letters) or not {"x", "y"} <= set(letters) <= set("xyzct"):
        problems.append(
            f"{array.name}: an array of shape {array.shape} with the axes {letters} ({axes.origin}) is not a volume; "
            "it needs x and y, and beside them z, c and t at most once. Name its axes with --axes"
        )
    if min(array.shape, default=0) == 0:
        problems.append(f"{array.name} is empty: its shape is {array.shape}; give an array with voxels")
    if np.dtype(array.array.dtype).kind not in "biuf":
        problems.append(f"{array.name} holds {array.array.dtype}; allowed are integers, floats and bool")
    return problems


def _choice_problems(array: FileArray, sizes: Mapping[str, int], options: SourceOptions) -> list[str]:
    problems = []
    for axis, word, chosen in (("t", "time", options.time), ("c", "channel", options.channel)):
        count = sizes.get(axis, 1)
        if chosen is None and axis == "t" and count > 1:
            problems.append(f"{array.name} has {count} times, and a volume is one; take one with --time 0..{count - 1}")
        if chosen is not None and not 0 <= chosen < count:
            problems.append(f"{array.name} has no {word} {chosen}; --{word} is one of 0..{count - 1}")
    return problems


def _metadata_for(axes: Stated[str], metadata: ArrayMetadata) -> ArrayMetadata:
    """The metadata, without its size and corner where a person says that the file names its axes wrongly."""
    named = metadata.axes
    if named is None or axes.origin != "--axes" or named.value == axes.value:
        return metadata
    note = f"{named.origin} says {named.value}, and --axes says {axes.value}"
    problem = f"{note}, so that its voxel size may be of other axes" if metadata.resolution_nm is not None else ""
    notes = (*metadata.notes, note)
    return ArrayMetadata(axes, None, None, metadata.kind, problem or metadata.size_problem, notes)


def _reader(array: Sliceable, axes: str, dtype: np.dtype[Any], options: SourceOptions) -> Callable[[Box], NDArray[Any]]:
    """Gives a box of the array as (X, Y, Z, C)."""
    channels = slice(None) if options.channel is None else slice(options.channel, options.channel + 1)
    time = slice(options.time or 0, (options.time or 0) + 1)
    present = [axis for axis in "xyzct" if axis in axes]
    order = [axes.index(axis) for axis in present]

    def read(box: Box) -> NDArray[Any]:
        wanted = dict(zip("xyz", box.slices, strict=True)) | {"c": channels, "t": time}
        part = np.asarray(array[tuple(wanted[axis] for axis in axes)]).transpose(order)
        absent = tuple(i for i, axis in enumerate("xyzct") if axis not in axes)
        return np.expand_dims(part, absent)[..., 0].astype(dtype, copy=False)

    return read


def place_given(source: SourceVolume, options: SourceOptions) -> SourceVolume:
    """The source with a person's voxel size and offset, and notes on what its file says otherwise.

    Raises VolumeError for a size that no voxel has.
    """
    notes = list(source.notes)
    resolution, corner = source.resolution_nm, source.corner_nm
    if options.resolution_nm is not None:
        given = options.resolution_nm
        if len(given) != 3 or not all(isfinite(value) and value > 0 for value in given):
            raise VolumeError(
                f"--resolution must be three finite numbers above 0 (nm along x, y, z), got {list(given)}"
            )
        if resolution is not None and not np.allclose(resolution.value, given):
            notes.append(f"{resolution.origin} says {_shown(resolution.value)} nm, and --resolution is followed")
        elif source.size_problem:
            notes.append(source.size_problem)
        if problem := implausible(given):
            notes.append(f"--resolution is {problem}")
        resolution = Stated(given, "--resolution")
    if options.offset is not None and resolution is not None:
        x, y, z = (tidy(o * size) for o, size in zip(options.offset, resolution.value, strict=True))
        if corner is not None and not np.allclose(corner.value, (x, y, z)):
            notes.append(f"{corner.origin} says {_shown(corner.value)} nm, and --offset is followed")
        corner = Stated((x, y, z), "--offset")
    placed = replace(source, resolution_nm=resolution, corner_nm=corner)
    if corner is not None and resolution is not None:
        voxels = [c / size for c, size in zip(corner.value, resolution.value, strict=True)]
        if any(abs(v - round(v)) > 0.01 for v in voxels):
            nearest = ", ".join(map(str, voxel_offset(placed)))
            notes.append(
                f"{corner.origin} is voxel {_shown(voxels)}; layers begin at whole voxels, so it becomes {nearest}"
            )
    return replace(placed, notes=tuple(notes))


def _shown(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def voxel_size(source: SourceVolume) -> tuple[float, float, float]:
    """A voxel's size along x, y, z in nm. Raises VolumeError where it is not known, with what the file says."""
    if source.resolution_nm is not None:
        return source.resolution_nm.value
    said = f": {source.size_problem}" if source.size_problem else ""
    raise VolumeError(f"{source.name} does not say how large its voxels are{said}. Give it as --resolution x,y,z in nm")


def voxel_offset(source: SourceVolume) -> Triple:
    """The place of the first voxel along x, y, z: the nearest whole voxels, halves upwards, as for volumes in place.

    It is 0 where the file does not say it. Raises VolumeError where the size of a voxel is not known.
    """
    if source.corner_nm is None:
        return (0, 0, 0)
    pairs = zip(source.corner_nm.value, voxel_size(source), strict=True)
    return triple([floor(round(corner / size, 6) + 0.5) for corner, size in pairs])
