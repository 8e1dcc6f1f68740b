"""Volumes in OME-Zarr, in plain Zarr arrays and in N5, used where they lie.

Each scale is an array (`stored_array.py`) with what its metadata say of axes, voxel size and place
(`array_metadata.py`). An array's corner is rounded to whole voxels of its scale. Such a volume is read, and never
written, unless it is a layer of ours (`ome_zarr.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, Triple, triple
from seuron.errors import DataError, VolumeError
from seuron.storage import Storage
from seuron.volumes.array_metadata import ArrayMetadata
from seuron.volumes.precomputed import codec_errors
from seuron.volumes.stored_array import Slices, StoredArray
from seuron.volumes.volume import Kind, Missing, Resolution, Volume, existing

#: Types whose voxels are labels where nothing else is said; those of fewer bits may be grey values.
LABEL_TYPES = ("uint32", "int32", "uint64", "int64")


@dataclass(frozen=True)
class ScaleArray:
    """One scale of a volume.

    `key` is its folder below the volume's, empty for the same one; `metadata` is what is said of its array, and
    `attributes` are what that was read from, where it is the array's own.
    """

    key: str
    array: StoredArray
    metadata: ArrayMetadata
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ArrayVolume(Volume):
    """One scale of a volume of arrays.

    `about` is what the format is called with its version, `arrays` are all scales, the finest first.
    """

    format = "arrays"

    about: str = ""
    arrays: tuple[ScaleArray, ...] = field(default=(), repr=False, compare=False)

    @property
    def scale(self) -> ScaleArray:
        """The array of this scale."""
        return self.arrays[self.mip]

    @property
    def _array(self) -> StoredArray:
        return self.scale.array

    @property
    def axes(self) -> str:
        """A letter of x, y, z, c, t for each axis of the array."""
        assert self.scale.metadata.axes is not None  # `check` has seen to it
        return self.scale.metadata.axes.value

    def check(self) -> None:
        """Raise VolumeError with all that keeps this scale from being used where it lies, and what to do."""
        self._array.check()
        said, command = self.scale.metadata, f"seuron import {self.path.removeprefix('file://')} LAYER"
        if said.axes is None or len(said.axes.value) != len(self._array.shape):
            raise VolumeError(
                f"{self._array.path}: its metadata do not name the {len(self._array.shape)} axes of its array of shape "
                f"{self._array.shape}{_notes(said)}. Import it: {command} --axes zyx --resolution X,Y,Z"
            )
        if said.resolution_nm is None:
            raise VolumeError(
                f"{self._array.path}: the size of its voxels is not known: "
                f"{said.size_problem or 'no attribute of it names one'}. Import it: {command} --resolution X,Y,Z"
            )
        sizes = dict(zip(said.axes.value, self._array.shape, strict=True))
        if sizes.get("t", 1) > 1:
            raise VolumeError(f"{self._array.path}: it holds {sizes['t']} times; import one: {command} --time 0")
        if min(sizes.values()) < 1:
            raise VolumeError(f"{self._array.path}: its array of shape {self._array.shape} is empty; give another one")

    def _along(self, sizes: Sequence[int]) -> Triple:
        """Sizes along x, y, z of an array's sizes; 1 for an axis that it lacks."""
        by_axis = dict(zip(self.axes, sizes, strict=True))
        return triple([by_axis.get(axis, 1) for axis in "xyz"])

    @cached_property
    def box(self) -> Box:
        place = self.scale.metadata.corner_nm
        corner = place.value if place is not None else (0.0, 0.0, 0.0)
        # Halves upwards, as for the coarser scales of a precomputed layer; less the dust of a division.
        first = [floor(round(c / r, 6) + 0.5) for c, r in zip(corner, self.resolution_nm, strict=True)]
        return Box.from_shape(first, self._along(self._array.shape))

    @property
    def resolution_nm(self) -> Resolution:
        assert self.scale.metadata.resolution_nm is not None  # `check` has seen to it
        return self.scale.metadata.resolution_nm.value

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._array.dtype

    @property
    def channels(self) -> int:
        return dict(zip(self.axes, self._array.shape, strict=True)).get("c", 1)

    @cached_property
    def block_size(self) -> Triple:
        return self._along(self._array.file_shape)

    @property
    def kind(self) -> Kind:
        said = self.scale.metadata.kind
        if said is not None:
            return said.value
        return "segmentation" if str(self.dtype) in LABEL_TYPES else "image"

    @property
    def kind_origin(self) -> str:
        said = self.scale.metadata.kind
        return said.origin if said is not None else ""

    @property
    def scales(self) -> int:
        return len(self.arrays)

    @property
    def key(self) -> str:
        return self.scale.key

    @property
    def is_sharded(self) -> bool:
        return self._array.is_sharded

    @cached_property
    def form(self) -> dict[str, Any]:
        return {"format": self.about, "axes": self.axes, "array": self._array.form, "channels": self.channels}

    def files(self, block: Box) -> tuple[str, ...]:
        folder = f"{self.key}/" if self.key else ""
        return tuple(f"{folder}{name}" for name in self._array.files(self._part(block)))

    def missing_blocks(self, box: Box) -> list[Box]:
        blocks = self.blocks(box)
        files = [self.files(block) for block in blocks]
        stored = existing(Storage(self.path), [name for names in files for name in names])
        return [block for block, names in zip(blocks, files, strict=True) if not stored.issuperset(names)]

    def _part(self, box: Box) -> Slices:
        """A box as slices of the array, all channels of it."""
        first = dict(zip("xyz", box.shifted([-c for c in self.box.minimum]).slices, strict=True))
        whole = {axis: slice(0, size) for axis, size in zip(self.axes, self._array.shape, strict=True)}
        return tuple((whole | first)[axis] for axis in self.axes)

    def _read(self, box: Box, missing: Missing) -> NDArray[Any]:
        if missing == "error" and (lost := self.missing_blocks(box)):
            raise self._missing_error(
                box,
                f"{self.block_name(lost[0])}; programs that write Zarr may leave out blocks of the fill value alone",
            )
        try:
            return self._turned(self._array.read(self._part(box)))
        except codec_errors() as error:
            raise self._damage(box, error) from error

    def _damage(self, box: Box, error: Exception) -> DataError:
        return self._damage_error(box, " ".join(str(error).split()) or type(error).__name__)

    def _decodes(self, box: Box) -> bool:
        try:
            self._array.read(self._part(box))
        except codec_errors():
            return False
        return True

    def _turned(self, voxels: NDArray[Any]) -> NDArray[Any]:
        """An array's voxels as (X, Y, Z, C), Fortran order."""
        axes = self.axes
        if "t" in axes:
            voxels, axes = np.take(voxels, 0, axes.index("t")), axes.replace("t", "")
        order = [axes.index(axis) for axis in "xyzc" if axis in axes]
        absent = [place for place, axis in enumerate("xyzc") if axis not in axes]
        return np.asfortranarray(np.expand_dims(voxels.transpose(order), absent))

    def _write(self, box: Box, blocks: Sequence[Box], voxels: NDArray[Any]) -> int:
        raise VolumeError(f"{self.path}: volumes in {self.about} that are given are never written")


def _notes(said: ArrayMetadata) -> str:
    return f" ({'; '.join(said.notes)})" if said.notes else ""
