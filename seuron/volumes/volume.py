"""What every volume gives, whatever format it lies in: a box of voxels that is read by boxes and written by blocks.

Axes are x, y, z, channels last. A *block* is the unit of whole writes: a chunk with a file of its own, or, where
chunks lie together in larger files, such a file. Blocks begin at the volume's first voxel.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, Triple, triple
from seuron.errors import DataError, VolumeError
from seuron.storage import Storage

Kind = Literal["image", "segmentation"]
Resolution = tuple[float, float, float]
#: What a block that is not stored means: an error, or what the format says that it holds (zeros, but for a Zarr that
#: names another fill value).
Missing = Literal["error", "zero"]


@dataclass(frozen=True)
class Volume(ABC):
    """One scale (mip) of a volume.

    `path` opens it again, together with `mip`. Boxes are in voxels of the scale.
    """

    #: What the format is called.
    format: ClassVar[str]

    path: str
    mip: int = 0

    @property
    @abstractmethod
    def box(self) -> Box:
        """All voxels that there are."""

    @property
    @abstractmethod
    def resolution_nm(self) -> Resolution:
        """The size of a voxel along x, y, z."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """The type of the voxels that `read` gives."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """How many values a voxel has."""

    @property
    @abstractmethod
    def block_size(self) -> Triple:
        """Voxels of a block."""

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """Whether voxels are grey values or labels."""

    @property
    @abstractmethod
    def kind_origin(self) -> str:
        """Where the kind is from; empty where it follows from the type of the voxels alone."""

    @property
    @abstractmethod
    def scales(self) -> int:
        """How many scales there are at `path`."""

    @property
    @abstractmethod
    def key(self) -> str:
        """The folder of this scale below `path`; empty where that is its folder."""

    @property
    @abstractmethod
    def form(self) -> dict[str, Any]:
        """How the voxels are stored: what the bytes of blocks mean, whatever the volume's size."""

    @property
    @abstractmethod
    def is_sharded(self) -> bool:
        """Whether chunks lie together in larger files, instead of one file each."""

    @abstractmethod
    def files(self, block: Box) -> tuple[str, ...]:
        """The names of the files of a block, below `path`: one, but where channels lie in files of their own."""

    @abstractmethod
    def missing_blocks(self, box: Box) -> list[Box]:
        """What is not stored of what meets `box`: blocks, or chunks of a shard. Nothing else is asked for."""

    @abstractmethod
    def _read(self, box: Box, missing: Missing) -> NDArray[Any]:
        """The voxels (X, Y, Z, C) of a box that is not empty and lies in the volume, Fortran order."""

    @abstractmethod
    def _write(self, box: Box, blocks: Sequence[Box], voxels: NDArray[Any]) -> int:
        """Store the blocks of `box`, whose voxels (X, Y, Z, C) are given; returns the bytes stored."""

    def read(self, box: Box, *, missing: Missing = "error") -> NDArray[Any]:
        """The voxels of `box` as (X, Y, Z, C), Fortran order.

        A block that is not stored raises DataError, or reads as what the format says (zero, or Zarr's fill value) when
        `missing` is "zero"; `missing_blocks` counts those.
        """
        if not self.box.contains(box):
            raise VolumeError(f"{self.path}: the box {box} is outside the volume {self.box}; give a box inside it")
        if box.voxels == 0:
            return np.zeros((*(max(0, s) for s in box.shape), self.channels), self.dtype, order="F")
        return self._read(box, missing)

    def write(self, box: Box, voxels: NDArray[Any]) -> int:
        """Write whole blocks; returns the bytes stored.

        `voxels` is (X, Y, Z) or (X, Y, Z, C) and has the shape of `box`, whose faces must lie on
        block boundaries or on the volume's own faces.
        """
        if voxels.ndim == 3:
            voxels = voxels[..., np.newaxis]
        if voxels.shape != (*box.shape, self.channels) or voxels.dtype != self.dtype:
            raise VolumeError(
                f"{self.path}: cannot write {voxels.shape} {voxels.dtype} into {box}; "
                f"expected {(*box.shape, self.channels)} {self.dtype}"
            )
        blocks = self.blocks(box)
        if any(not box.contains(block) for block in blocks):
            raise VolumeError(
                f"{self.path}: the box {box} cuts through storage blocks of {self.block_size} voxels; "
                f"write boxes that lie on the block grid starting at {self.box.minimum}"
            )
        return self._write(box, blocks, voxels)

    def blocks(self, box: Box) -> list[Box]:
        """The blocks that meet `box`, each cut to the volume; x fastest."""
        return cells_meeting(self.box, self.block_size, box)

    def block_name(self, block: Box) -> str:
        """The name of a block's file below `path`, the first where there are several."""
        return self.files(block)[0]

    def check_decoding(self, box: Box) -> None:
        """Decode one stored block of `box`: what cannot be decoded raises DataError here, before a run.

        Looks for a block that is stored in the middle, and then at the corners; none there is nothing to decode.
        """
        for voxel in sample_voxels(box.intersect(self.box)):
            if not self.missing_blocks(voxel):
                self.read(voxel)
                return

    def _missing_error(self, box: Box, what: str, cause: Exception | None = None) -> DataError:
        """What to raise where a block of `box` is not stored; `what` names it."""
        return DataError(
            f"{self.path}: a block of the box {box} is missing ({what}). Every block must be stored, "
            "or the run's `missing_blocks` must be set to `zero`"
        )

    def _damage_error(self, box: Box, reason: str) -> DataError:
        """What to raise where blocks of `box` cannot be decoded: with the name of the first of those."""
        for block in self.blocks(box):
            if not self._decodes(block.intersect(box)):
                return DataError(
                    f"{self.path}/{self.block_name(block)} is damaged ({reason}); write this block of the volume "
                    "again, then start the run again. Of a layer of a run, `redo` the stage that writes it"
                )
        return DataError(f"{self.path}: {box} could not be decoded ({reason}); check the volume, then start again")

    @abstractmethod
    def _decodes(self, box: Box) -> bool:
        """Whether what is stored of a box can be decoded."""


def cells_meeting(whole: Box, cell: Triple, box: Box) -> list[Box]:
    """The cells of a grid from the first corner of `whole` on that meet `box`, each cut to `whole`; x fastest."""
    box = box.intersect(whole)
    if box.voxels == 0:
        return []
    return [whole.cell(cell, index, whole.minimum) for index in box.grid(cell, whole.minimum).places()]


def sample_voxels(box: Box) -> list[Box]:
    """Boxes of one voxel: the middle of a box, and its corners; none of an empty one."""
    if box.voxels == 0:
        return []
    middle = [(a + b) // 2 for a, b in zip(box.minimum, box.maximum, strict=True)]
    ends = list(zip(box.minimum, [b - 1 for b in box.maximum], strict=True))
    corners = [[ends[axis][side >> axis & 1] for axis in range(3)] for side in range(8)]
    return [Box.from_shape(corner, (1, 1, 1)) for corner in (middle, *corners)]


def existing(storage: Storage, names: Sequence[str]) -> set[str]:
    """Those of `names` that are stored."""
    return {name for name, version in zip(names, storage.versions(names), strict=True) if version is not None}


def pyramid_factors(shape: Sequence[int], resolution_nm: Sequence[float], smallest: int = 64) -> list[Triple]:
    """Downsampling factors from one scale to the next, until the longest side is <= `smallest`.

    An axis is halved only while its voxels are at most 1.5 times as long as the shortest, so that an
    anisotropic volume becomes isotropic before its sections are mixed.
    """
    size, voxel, factors = list(shape), list(resolution_nm), []
    while max(size) > smallest:
        shortest = min(v for v, s in zip(voxel, size, strict=True) if s > 1)
        factor = [2 if v <= 1.5 * shortest and s > 1 else 1 for v, s in zip(voxel, size, strict=True)]
        size = [-(-s // f) for s, f in zip(size, factor, strict=True)]
        voxel = [v * f for v, f in zip(voxel, factor, strict=True)]
        factors.append(triple(factor))
    return factors
