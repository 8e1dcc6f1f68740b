"""What is understood of a volume before anything is made of it: numbers with their origin, a look at it, problems.

`inspect_source` says it of any source; `seuron inspect` shows it, and `seuron import` shows it and takes its numbers
from it. So what is shown is what is written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, Triple, triple
from seuron.errors import VolumeError
from seuron.volumes.sources.array_source import voxel_offset, voxel_size
from seuron.volumes.sources.source import SourceVolume, Stated
from seuron.volumes.volume import Kind, Resolution

Plane = Literal["xy", "xz", "yz"]
#: The axis that each plane lies across, and the axes along its columns and rows.
PLANES: dict[Plane, tuple[int, int, int]] = {"xy": (2, 0, 1), "xz": (1, 0, 2), "yz": (0, 1, 2)}
#: A volume of at most so many bytes is looked at as one piece.
SMALL_BYTES = 32 << 20
#: Names that people give to labels. Integer arrays with one of these words are labels whatever their width.
LABEL_WORDS = {
    *("label", "labels", "seg", "segmentation", "segments", "supervoxels", "fragments", "ws", "watershed"),
    *("id", "ids", "neurons", "bodies", "gt", "truth"),
}


@dataclass(frozen=True)
class Slice:
    """A middle slice of a volume, in at most a given number of pixels along each side.

    Attributes:
        plane: the axes along its columns and rows.
        position: the voxel, along the third axis, that it was cut at.
        pixels: (columns, rows), or (columns, rows, channels); voxels that lie at equal distances.
        size_nm: how wide and high it is in the tissue; voxels where their size is not known.
    """

    plane: Plane
    position: int
    pixels: NDArray[Any]
    size_nm: tuple[float, float]


@dataclass(frozen=True)
class ValueSample:
    """Values in the three middle slices: the least, the largest, the share of zeros, how many different ones."""

    least: float
    largest: float
    zeros: float
    distinct: int


@dataclass(frozen=True)
class Inspection:
    """A source in numbers, each with where it comes from.

    Attributes:
        box: the voxels' place in the grid whose origin is 0, 0, 0: what `bbox` and viewers count in.
        problems: what keeps it from being imported, all of it.
        files: those that the voxels come from; empty where that is the one named.
        sample: None where there is no finite value.
    The others are those of `SourceVolume`.
    """

    name: str
    format: str
    axes: Stated[str]
    shape: Triple
    channels: int
    dtype: str
    kind: Stated[Kind]
    resolution_nm: Stated[Resolution] | None
    corner_nm: Stated[Resolution] | None
    box: Box
    blocks: Triple | None
    files: tuple[str, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]
    sample: ValueSample | None = None
    slices: tuple[Slice, ...] = ()

    @property
    def bytes(self) -> int:
        """The size of its voxels, not compressed."""
        return self.box.voxels * self.channels * np.dtype(self.dtype).itemsize

    def as_dict(self) -> dict[str, Any]:
        """All but the slices, as JSON has it."""
        return {
            "name": self.name,
            "format": self.format,
            "axes": _stated(self.axes),
            "shape": list(self.shape),
            "channels": self.channels,
            "dtype": self.dtype,
            "kind": _stated(self.kind),
            "resolution_nm": _stated(self.resolution_nm),
            "corner_nm": _stated(self.corner_nm),
            "box": list(self.box.corners),
            "blocks": None if self.blocks is None else list(self.blocks),
            "files": max(1, len(self.files)),
            "bytes": self.bytes,
            "values": None if self.sample is None else vars(self.sample),
            "notes": list(self.notes),
            "problems": list(self.problems),
        }


def inspect_source(source: SourceVolume, kind: Kind | None = None, *, pixels: int = 64) -> Inspection:
    """Understand an opened source; `kind` is what a person says that it is.

    Its middle slices are read, `pixels` voxels along each side at most, from as few blocks as these need. Raises what
    reading raises for voxels that cannot be decoded.
    """
    stated_kind = Stated(kind, "--kind") if kind is not None else source.kind or guessed_kind(source)
    corner = voxel_offset(source) if source.resolution_nm is not None else (0, 0, 0)
    box = Box.from_shape(corner, source.shape)
    slices = middle_slices(source, box.minimum, pixels)
    sample = _sample(slices)
    return Inspection(
        name=source.name,
        format=source.format,
        axes=source.axes,
        shape=source.shape,
        channels=source.channels,
        dtype=source.dtype.name,
        kind=stated_kind,
        resolution_nm=source.resolution_nm,
        corner_nm=source.corner_nm,
        box=box,
        blocks=source.blocks,
        files=source.files,
        notes=source.notes,
        problems=tuple(_problems(source, stated_kind.value, sample)),
        sample=sample,
        slices=slices,
    )


def guessed_kind(source: SourceVolume) -> Stated[Kind]:
    """`segmentation` for integers of 32 or 64 bits, and for narrower ones that are named like labels."""
    if source.dtype.kind not in "ui" or source.channels != 1:
        return Stated("image", f"{source.dtype} with {source.channels} channels")
    if source.dtype.itemsize >= 4:
        return Stated("segmentation", f"{source.dtype}: integers of 32 bits or more are labels")
    name = source.name.replace("\\", "/")
    # The whole path inside a file tells, but not the folders the file lies in.
    own = name.rsplit(":", 1)[-1] if ":" in name else name.rsplit("/", 1)[-1]
    if words := set(re.split(r"[^a-z]+", own.lower())) & LABEL_WORDS:
        return Stated("segmentation", f"the name, which has the word {min(words)!r}")
    return Stated("image", f"{source.dtype}, and a name without a word for labels")


def middle_slices(source: SourceVolume, corner: Triple, pixels: int) -> tuple[Slice, ...]:
    """The slices through the middle of a source, of voxels at equal distances, at most `pixels` along each side.

    `corner` is the place of the first voxel; the positions of the slices count from it.
    """
    shape = source.shape
    picked = [_picked(size, pixels) for size in shape]
    whole = source.dtype.itemsize * source.channels * int(np.prod(shape)) <= SMALL_BYTES
    voxels = source.read(Box((0, 0, 0), shape)) if whole else None
    voxel_nm = source.resolution_nm.value if source.resolution_nm is not None else (1.0, 1.0, 1.0)
    found = []
    for plane, (normal, across, down) in PLANES.items():
        middle = shape[normal] // 2
        if voxels is not None:
            cut = voxels.take(middle, axis=normal)[np.ix_(picked[across], picked[down])]
        else:
            cut = _cut(source, normal, middle, picked)
        size_nm = (shape[across] * voxel_nm[across], shape[down] * voxel_nm[down])
        found.append(Slice(plane, corner[normal] + middle, cut[..., 0] if cut.shape[2] == 1 else cut, size_nm))
    return tuple(found)


def _picked(size: int, pixels: int) -> NDArray[np.intp]:
    """Indices at equal distances along an axis, at most `pixels` of them."""
    count = min(size, pixels)
    return (np.arange(count) * size + size // 2) // count


def _cut(source: SourceVolume, normal: int, middle: int, picked: Sequence[NDArray[np.intp]]) -> NDArray[Any]:
    """The picked voxels of a slice, (columns, rows, channels), read along whole blocks one after the other."""
    across, down = (axis for axis in range(3) if axis != normal)
    step = source.blocks[down] if source.blocks is not None else 1
    parts = []
    for block in np.unique(picked[down] // step):
        rows = picked[down][picked[down] // step == block]
        low, high = [0, 0, 0], list(source.shape)
        low[normal], high[normal] = middle, middle + 1
        low[down], high[down] = int(rows[0]), int(rows[-1]) + 1
        plane = source.read(Box(triple(low), triple(high))).take(0, axis=normal)
        parts.append(plane[np.ix_(picked[across], rows - rows[0])])
    return np.concatenate(parts, axis=1)


def _sample(slices: Sequence[Slice]) -> ValueSample | None:
    values = np.concatenate([found.pixels.ravel() for found in slices])
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if finite.size == 0:
        return None
    return ValueSample(
        finite.min().item(), finite.max().item(), float((values == 0).mean()), int(np.unique(finite).size)
    )


def _problems(source: SourceVolume, kind: Kind, sample: ValueSample | None) -> list[str]:
    found = []
    try:
        voxel_size(source)
    except VolumeError as error:
        found.append(str(error))
    if kind == "segmentation" and source.channels != 1:
        found.append(
            f"{source.name} has {source.channels} channels, and labels have one; choose one by --channel, "
            "or say --kind image"
        )
    if kind == "segmentation" and sample is not None and sample.least < 0:
        found.append(
            f"{source.name} holds the label {sample.least:.0f}; labels are 0 (nothing) or above: "
            "make the unlabelled voxels 0"
        )
    return found


def _stated(given: Stated[Any] | None) -> dict[str, Any] | None:
    return None if given is None else {"value": given.value, "from": given.origin}
