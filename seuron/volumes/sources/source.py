"""What every reader of a file format gives: an array that is read box by box, and what its file says of it.

Axes are x, y, z, channels last, whatever the file's order. Lengths are nanometres. Each number that a person could
doubt carries its origin: the attribute of the file, the format's convention, or the argument that it was taken from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, Triple
from seuron.volumes.stated import Stated as Stated

if TYPE_CHECKING:
    from seuron.volumes.volume import Kind, Resolution


@dataclass(frozen=True)
class SourceVolume:
    """An array of a file that can be read box by box.

    Used in a `with` statement, its file is closed at the end.

    Attributes:
        name: the path, and the array's name in the file after a colon.
        format: what the file is, in a word or two: "HDF5", "OME-Zarr 0.5".
        shape: voxels along x, y, z.
        channels: 1 where the array has no channel axis.
        dtype: of the voxels that `read` gives.
        read: gives the voxels (X, Y, Z, C) of a box in voxels of the array, whose first corner is 0, 0, 0.
        axes: the array's own axes, slowest first, by letters of x, y, z, c, t.
        resolution_nm: a voxel's size, None where the file does not give it for every axis.
        size_problem: where that is None, what the file says and why it cannot be taken; empty where it says nothing.
        corner_nm: the place of the lower corner of the first voxel, None where the file does not say.
        kind: what the file itself says that the voxels are.
        blocks: voxels of a stored block, along x, y, z; what is read at once costs least in these.
        notes: what a person should know of how the file was understood, a sentence each.
        files: the files that the voxels come from, for progress and digests; empty where that is one.
    """

    name: str
    format: str
    shape: Triple
    channels: int
    dtype: np.dtype[Any]
    read: Callable[[Box], NDArray[Any]]
    axes: Stated[str]
    resolution_nm: Stated[Resolution] | None = None
    corner_nm: Stated[Resolution] | None = None
    kind: Stated[Kind] | None = None
    blocks: Triple | None = None
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    size_problem: str = ""
    close: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class SourceOptions:
    """What a person says about a source that its file does not say, or says wrongly.

    Attributes:
        dataset: the array's name inside a file that holds several.
        axes: the array's axes, slowest first, such as "zyx" or "cxyz".
        resolution_nm: a voxel's size along x, y, z.
        offset: the first voxel's place along x, y, z, in voxels.
        channel, time: the one to take, of an array that has several.
        missing_sections: what a gap in numbered sections means: refuse, leave black, or close up.
        window: the values that become 0 and 255 where grey values of more than 8 bits become uint8.
    """

    dataset: str | None = None
    axes: str | None = None
    resolution_nm: Resolution | None = None
    offset: Triple | None = None
    channel: int | None = None
    time: int | None = None
    missing_sections: str = "error"
    window: tuple[float, float] | None = None
