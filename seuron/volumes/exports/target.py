"""What every format's writer is given and gives.

A writer is a context manager: `with open_tiff(path, array) as target: target.write(box, voxels)`. Boxes are in the
array's own voxels, whose first corner is 0, 0, 0, on the target's grid, and cover the array once. Voxels are (X, Y, Z,
C). At the end of the `with` the file is whole.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, Triple
from seuron.storage import local_folder
from seuron.volumes.volume import Kind, Resolution

#: Voxels that formats store together, or a multiple of them, where they have no grid of their own.
GRID: Triple = (64, 64, 64)


class Target(NamedTuple):
    """What boxes are written with, and the grid that they lie on."""

    write: Callable[[Box, NDArray[Any]], None]
    grid: Triple = GRID


@dataclass(frozen=True)
class ExportedArray:
    """A box of a layer, as it will be in the file.

    Attributes:
        name: the layer's path.
        box: in voxels of the layer's scale; its first corner is the file's offset.
        dtype: of the voxels in the file.
        labels: the ids of the layer, sorted, whose places (0 is 0, the first other one is 1) are the ids of the file;
            None where ids stay as they are.
        read: the voxels (X, Y, Z, C), in the layer's type, of a box in voxels of the layer's scale.
    """

    name: str
    box: Box
    resolution_nm: Resolution
    dtype: np.dtype[Any]
    channels: int
    kind: Kind
    read: Callable[[Box], NDArray[Any]]
    labels: NDArray[Any] | None = None

    @property
    def shape(self) -> Triple:
        return self.box.shape

    @property
    def offset_nm(self) -> Resolution:
        """Where the lower corner of the first voxel lies."""
        x, y, z = (corner * size for corner, size in zip(self.box.minimum, self.resolution_nm, strict=True))
        return (x, y, z)

    @property
    def bytes(self) -> int:
        """The voxels' size in the file, not compressed."""
        return self.box.voxels * self.channels * self.dtype.itemsize

    def voxels(self, box: Box) -> NDArray[Any]:
        """The voxels of a box in the array's own coordinates, as the file has them."""
        voxels = self.read(box.shifted(self.box.minimum))
        if self.labels is not None:
            voxels = np.searchsorted(self.labels, voxels)
        return np.asfortranarray(voxels.astype(self.dtype, copy=False))


Writer = Callable[[Path, ExportedArray], AbstractContextManager[Target]]


def local_target(target: str, overwrite: bool, source: Path | None, problems: list[str]) -> Path | None:
    """The path of a target that is not in the way of anything; None where it is, and why is one of `problems`.

    `source` is the folder of what is exported, None where that lies in the cloud.
    """
    path = local_folder(target)
    if path is None:
        scheme = target.split("://")[0]
        problems.append(f"{target}: exports are written on this machine; give a path without {scheme}://")
    elif path.exists() and not overwrite:
        problems.append(f"{target} is there already; give another path, or --overwrite to replace it")
    elif source is not None and (path == source or path in source.parents):
        problems.append(f"{target} is or holds what is exported itself; give another path")
    else:
        return path
    return None


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A path to write to, of the same name, which takes the place of `path` at the end; an error leaves nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.parent / f".{path.name}.{uuid.uuid4().hex[:12]}.partial"
    folder.mkdir()
    try:
        yield folder / path.name
        _remove(path)
        (folder / path.name).rename(path)
    finally:
        _remove(folder)


def _remove(path: Path) -> None:
    remove: Callable[[Path], None] = shutil.rmtree if path.is_dir() and not path.is_symlink() else Path.unlink
    if path.exists() or path.is_symlink():
        remove(path)
