"""Precomputed volumes (Neuroglancer's format) through cloud-volume.

cloud-volume owns the format: metadata, codecs, every storage scheme. Blocks are read through
it. They are written block by block through `Storage`, so that a block exists whole or not at
all and two deliveries of one task can write it at the same time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, Triple, triple
from seuron.errors import DataError, StorageError, VolumeError
from seuron.storage import Storage, cloud_path
from seuron.storage.allowed_paths import check_address
from seuron.storage.files import decoding_errors

if TYPE_CHECKING:
    from cloudvolume.frontends.precomputed import CloudVolumePrecomputed

Kind = Literal["image", "segmentation"]
Resolution = tuple[float, float, float]

#: cloud-volume colours its messages for terminals.
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")

#: Edge of the 8x8x8 sub-blocks of the compressed_segmentation codec; the format's usual choice.
SEGMENTATION_SUBBLOCK = (8, 8, 8)


@dataclass(frozen=True)
class Volume:
    """One scale (mip) of a precomputed layer.

    `box` is in voxels of this scale; `resolution_nm` is the voxel's size in nanometres.
    """

    path: str
    mip: int = 0

    @cached_property
    def _cloud(self) -> CloudVolumePrecomputed:
        return _open(self.path, self.mip, fill_missing=False)

    @cached_property
    def _lenient(self) -> CloudVolumePrecomputed:
        return _open(self.path, self.mip, fill_missing=True)

    @cached_property
    def _info(self) -> dict[str, Any]:
        """The layer's metadata. What cloud-volume need not be loaded for is read here; it says what is wrong."""
        info = _read_info(self.path)
        if info is None or not 0 <= self.mip < len(info["scales"]):
            found: dict[str, Any] = self._cloud.info
            return found
        return info

    @property
    def _scale(self) -> dict[str, Any]:
        scale: dict[str, Any] = self._info["scales"][self.mip]
        return scale

    @property
    def box(self) -> Box:
        corner, size = triple(self._scale.get("voxel_offset", (0, 0, 0))), triple(self._scale["size"])
        return Box(corner, triple([a + b for a, b in zip(corner, size, strict=True)]))

    @property
    def resolution_nm(self) -> Resolution:
        x, y, z = (float(value) for value in self._scale["resolution"])
        return (x, y, z)

    @property
    def dtype(self) -> np.dtype[Any]:
        found: np.dtype[Any] = np.dtype(self._info["data_type"])
        return found

    @property
    def channels(self) -> int:
        return int(self._info["num_channels"])

    @property
    def block_size(self) -> Triple:
        return triple(self._scale["chunk_sizes"][0])

    @property
    def kind(self) -> Kind:
        return "segmentation" if self._info["type"] == "segmentation" else "image"

    @property
    def scales(self) -> int:
        return len(self._info["scales"])

    @property
    def key(self) -> str:
        """The folder of this scale below `path`."""
        return str(self._scale["key"])

    def read(self, box: Box, *, missing: Literal["error", "zero"] = "error") -> NDArray[Any]:
        """The voxels of `box` as (X, Y, Z, C), Fortran order.

        A block that is not stored raises DataError, or reads as zero when `missing` says so;
        `missing_blocks` counts those.
        """
        if not self.box.contains(box):
            raise VolumeError(f"{self.path}: the box {box} is outside the volume {self.box}; give a box inside it")
        if box.voxels == 0:
            return np.zeros((*(max(0, s) for s in box.shape), self.channels), self.dtype, order="F")
        from cloudvolume.exceptions import EmptyVolumeException

        cloud = self._cloud if missing == "error" else self._lenient
        try:
            # cloud-volume turns the axes around when the box is a single voxel of several channels.
            return np.asfortranarray(np.reshape(cloud[box.slices], (*box.shape, self.channels), order="F"))
        except EmptyVolumeException as error:
            raise DataError(
                f"{self.path}: a block of the box {box} is missing ({error}). Every block must be stored, "
                "or the run's `missing_blocks` must be set to `zero`"
            ) from error
        except decoding_errors() as error:
            raise self._damage(box, error) from error

    def _damage(self, box: Box, error: Exception) -> DataError:
        """What to raise where blocks of `box` cannot be decoded: with the name of the first of those."""
        reason = " ".join(_COLOURS.sub("", str(error)).split()) or type(error).__name__
        for block in self.blocks(box):
            try:
                self._lenient[block.slices]
            except decoding_errors():
                return DataError(
                    f"{self.path}/{self.block_name(block)} is damaged ({reason}); write this block of the volume "
                    "again, then start the run again. Of a layer of a run, `redo` the stage that writes it"
                )
        return DataError(f"{self.path}: {box} could not be decoded ({reason}); check the volume, then start again")

    def blocks(self, box: Box) -> list[Box]:
        """The storage blocks that meet `box`, each cut to the volume; x fastest."""
        whole = self.box
        box = box.intersect(whole)
        if box.voxels == 0:
            return []
        first = [(a - o) // b for a, o, b in zip(box.minimum, whole.minimum, self.block_size, strict=True)]
        last = [-((o - a) // b) for a, o, b in zip(box.maximum, whole.minimum, self.block_size, strict=True)]
        grid = Box(triple(first), triple(last))
        return [whole.cell(self.block_size, index.minimum) for _, index in grid.cells((1, 1, 1))]

    @property
    def is_sharded(self) -> bool:
        """Whether blocks lie together in larger files, instead of one file each."""
        return self._scale.get("sharding") is not None

    @property
    def form(self) -> dict[str, Any]:
        """How this scale's voxels are stored: what its blocks' bytes mean, whatever the volume's size."""
        names = ("encoding", "compressed_segmentation_block_size", "sharding")
        known = {name: self._scale[name] for name in names if name in self._scale}
        return {**known, "type": str(self.dtype), "channels": self.channels, "block": self.block_size}

    def block_name(self, block: Box) -> str:
        """The name of a block's file below `path`."""
        return f"{self.key}/{block_ranges(block)}"

    def missing_blocks(self, box: Box) -> list[Box]:
        """The blocks meeting `box` that are not stored; asks for those blocks only, not for the whole layer."""
        from cloudvolume.lib import Bbox

        box = box.intersect(self.box)
        if box.voxels == 0:
            return []
        exist = self._cloud.image.exists(Bbox(box.minimum, box.maximum), mip=self.mip)
        return [block for block in self.blocks(box) if not exist[self.block_name(block)]]

    def write(self, box: Box, voxels: NDArray[Any]) -> int:
        """Write whole blocks; returns the bytes stored.

        `voxels` is (X, Y, Z) or (X, Y, Z, C) and has the shape of `box`, whose faces must lie on
        block boundaries or on the volume's own faces.
        """
        from cloudvolume import chunks

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
        segmentation = self._cloud.encoding == "compressed_segmentation"
        sub_block = SEGMENTATION_SUBBLOCK if segmentation else None

        def encoded() -> Iterator[tuple[str, bytes]]:
            for block in blocks:
                part = np.asfortranarray(voxels[block.within(box)])
                yield self.block_name(block), chunks.encode(part, self._cloud.encoding, block_size=sub_block)

        return Storage(self.path).put_all(encoded(), compress=segmentation)


def block_ranges(block: Box) -> str:
    """What a block's file is called in the folder of its scale."""
    return "_".join(f"{a}-{b}" for a, b in zip(block.minimum, block.maximum, strict=True))


def _read_info(path: str) -> dict[str, Any] | None:
    """The `info` of a precomputed layer on this machine; None for what is none, or lacks what a scale has."""
    return read_layer_info(Storage(path)) if path.startswith("file://") else None


def read_layer_info(storage: Storage) -> dict[str, Any] | None:
    """The `info` of a precomputed layer; None for what is none, is damaged, or lacks what a scale has."""
    try:
        info = json.loads(storage.get("info") or b"")
        complete = {"data_type", "num_channels", "type"} <= info.keys() and all(
            {"key", "size", "resolution", "chunk_sizes", "encoding"} <= scale.keys() for scale in info["scales"]
        )
    except (StorageError, ValueError, AttributeError, KeyError, TypeError):
        return None
    found: dict[str, Any] = info
    return found if complete else None


def _open(path: str, mip: int, *, fill_missing: bool) -> CloudVolumePrecomputed:
    check_address(path)
    from cloudvolume import CloudVolume

    try:
        return CloudVolume(
            cloud_path(path), mip=mip, fill_missing=fill_missing, progress=False, bounded=True, cache=False
        )
    except Exception as error:  # cloud-volume raises a different type for every way this can fail
        reason = _COLOURS.sub("", str(error))
        raise VolumeError(
            f"cannot open {path} at mip {mip} as a precomputed volume ({type(error).__name__}: {reason}). "
            "Give the folder that holds its `info` file; `seuron import` makes one from HDF5, TIFF or Zarr"
        ) from error


def open_volume(path: str, mip: int = 0) -> Volume:
    """Open one scale of a precomputed layer; raises VolumeError when that cannot be done."""
    volume = Volume(cloud_path(path), mip)
    volume._info  # noqa: B018  opened now, so that a wrong path is told here
    return volume


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


def _scale_info(
    box: Box, resolution_nm: Resolution, factor: Triple, encoding: str, block_size: Triple
) -> dict[str, Any]:
    """One entry of `scales`: the layer pooled by `factor` cells that start at the box's first corner.

    The format has whole voxels only, so where `factor` does not divide the corner the scale's
    offset is the nearest one: the coarse picture sits up to half a coarse voxel beside the fine one.
    """
    size = triple([-(-s // f) for s, f in zip(box.shape, factor, strict=True)])
    resolution = [int(v) if float(v).is_integer() else v for v in _scaled(resolution_nm, factor)]
    scale: dict[str, Any] = {
        "key": "_".join(f"{value:.9g}" for value in resolution),
        "encoding": encoding,
        "resolution": resolution,
        "voxel_offset": [(2 * corner + f) // (2 * f) for corner, f in zip(box.minimum, factor, strict=True)],
        "size": list(size),
        "chunk_sizes": [[min(b, s) for b, s in zip(block_size, size, strict=True)]],
    }
    if encoding == "compressed_segmentation":
        scale["compressed_segmentation_block_size"] = list(SEGMENTATION_SUBBLOCK)
    return scale


def _scaled(resolution_nm: Resolution, factor: Triple) -> list[float]:
    # Nine digits are far below anything a microscope knows, and drop what 4.6 * 3 would leave behind.
    return [float(f"{v * f:.9g}") for v, f in zip(resolution_nm, factor, strict=True)]


def volume_info(
    box: Box,
    resolution_nm: Resolution,
    *,
    dtype: str,
    channels: int = 1,
    kind: Kind = "image",
    block_size: Triple = (64, 64, 64),
    pyramid: bool = True,
) -> dict[str, Any]:
    """The `info` of a layer: what `create_volume` writes. Raises VolumeError for what cannot be stored."""
    if kind == "segmentation" and (dtype not in ("uint32", "uint64") or channels != 1):
        raise VolumeError(
            f"a segmentation cannot be {dtype} with {channels} channels; allowed are uint32 and uint64 with one"
        )
    if box.voxels == 0:
        raise VolumeError(f"a layer cannot have the empty box {box}; give at least one voxel along each axis")
    encoding = "compressed_segmentation" if kind == "segmentation" else "raw"
    factors: list[Triple] = [(1, 1, 1)]
    for step in pyramid_factors(box.shape, resolution_nm) if pyramid else []:
        factors.append(triple([t * f for t, f in zip(factors[-1], step, strict=True)]))
    return {
        "@type": "neuroglancer_multiscale_volume",
        "type": kind,
        "data_type": dtype,
        "num_channels": channels,
        "scales": [_scale_info(box, resolution_nm, factor, encoding, block_size) for factor in factors],
    }


def create_volume(
    path: str,
    box: Box,
    resolution_nm: Resolution,
    *,
    dtype: str,
    channels: int = 1,
    kind: Kind = "image",
    block_size: Triple = (64, 64, 64),
    pyramid: bool = True,
) -> Volume:
    """Write the metadata of a new layer, all scales of its pyramid included, and open its first scale.

    Idempotent: the same arguments write the same `info`. Segmentations are stored as
    compressed_segmentation, images raw. `seuron.volumes.pyramid` fills the further scales.
    """
    info = volume_info(
        box, resolution_nm, dtype=dtype, channels=channels, kind=kind, block_size=block_size, pyramid=pyramid
    )
    write_info(path, info)
    return Volume(cloud_path(path), 0)


def write_info(path: str, info: dict[str, Any]) -> None:
    """Write a layer's metadata."""
    Storage(path).put("info", json.dumps(info, indent=1, sort_keys=True).encode())
