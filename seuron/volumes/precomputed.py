"""Precomputed volumes (Neuroglancer's format) through cloud-volume.

cloud-volume owns the format: metadata, codecs, shards, every storage scheme. Blocks are read through
it. They are written file by file through `Storage`, so that a file exists whole or not at
all and two deliveries of one task can write it at the same time.
"""

from __future__ import annotations

import gzip
import json
import re
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, Triple, triple
from seuron.errors import StorageError, VolumeError
from seuron.storage import Storage, cloud_path
from seuron.storage.allowed_paths import check_address
from seuron.storage.files import GZIP_LEVEL, decoding_errors
from seuron.volumes.layouts import LayerLayout, ScaleLayout, shard_size
from seuron.volumes.precomputed_checks import info_problems
from seuron.volumes.volume import Kind, Missing, Resolution, Volume, cells_meeting, sample_voxels

if TYPE_CHECKING:
    from cloudvolume.datasource.precomputed.sharding import ShardingSpecification
    from cloudvolume.frontends.precomputed import CloudVolumePrecomputed

#: cloud-volume colours its messages for terminals.
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")

#: Edge of the 8x8x8 sub-blocks of the compressed_segmentation codec; the format's usual choice.
SEGMENTATION_SUBBLOCK = (8, 8, 8)


@dataclass(frozen=True)
class PrecomputedVolume(Volume):
    """One scale (mip) of a precomputed layer."""

    format = "precomputed"

    @cached_property
    def _cloud(self) -> CloudVolumePrecomputed:
        return _open(self.path, self.mip, fill_missing=False)

    @cached_property
    def _lenient(self) -> CloudVolumePrecomputed:
        return _open(self.path, self.mip, fill_missing=True)

    @cached_property
    def _info(self) -> dict[str, Any]:
        """The layer's metadata, complete. cloud-volume is loaded only where it follows a redirection."""
        info = _parsed_info(self.path, Storage(self.path).get("info")) if is_plain(self.path) else None
        if info is None or "redirect" in info:
            found: dict[str, Any] = self._cloud.info
            return found
        problems = info_problems(info)
        if not problems and not 0 <= self.mip < len(info["scales"]):
            problems = [
                f"it has {len(info['scales'])} scales, and mip {self.mip} is none of 0 to {len(info['scales']) - 1}"
            ]
        if problems:
            raise VolumeError(
                f"cannot open {self.path} at mip {self.mip} as a precomputed volume: of its `info`, "
                f"{'; '.join(problems)}. Correct the file, or `seuron import` the data that the layer was made from"
            )
        return info

    def check(self) -> None:
        """Raise VolumeError where the metadata are not those of a layer that can be read, with all that is wrong."""
        self._info  # noqa: B018

    @property
    def _scale(self) -> dict[str, Any]:
        scale: dict[str, Any] = self._info["scales"][self.mip]
        return scale

    @property
    def box(self) -> Box:
        return Box.from_shape(self._scale.get("voxel_offset", (0, 0, 0)), self._scale["size"])

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
    def chunk_size(self) -> Triple:
        """Voxels of what is encoded at once; a block, where there are no shards."""
        return triple(self._scale["chunk_sizes"][0])

    @property
    def encoding(self) -> str:
        """How a chunk's voxels are encoded: one of `ENCODINGS`."""
        return str(self._scale["encoding"])

    @cached_property
    def block_size(self) -> Triple:
        """Voxels of a file: a chunk, or a shard where shards are boxes.

        Shards are boxes where a chunk's place along the format's curve is that in the shard as well (the hash
        `identity`). Those of other volumes are no boxes: a block of theirs is a chunk.
        """
        sharding = self._scale.get("sharding")
        if sharding is None or sharding.get("hash") != "identity":
            return self.chunk_size
        bits = int(sharding["preshift_bits"]) + int(sharding["minishard_bits"])
        return shard_size(self.box.grid_shape(self.chunk_size), self.chunk_size, bits)

    @property
    def kind(self) -> Kind:
        return "segmentation" if self._info["type"] == "segmentation" else "image"

    @property
    def kind_origin(self) -> str:
        return "the `type` in its info"

    @property
    def scales(self) -> int:
        return len(self._info["scales"])

    @property
    def key(self) -> str:
        return str(self._scale["key"])

    @property
    def is_sharded(self) -> bool:
        return self._scale.get("sharding") is not None

    @property
    def form(self) -> dict[str, Any]:
        names = ("encoding", "compressed_segmentation_block_size", "sharding")
        known = {name: self._scale[name] for name in names if name in self._scale}
        return {**known, "type": str(self.dtype), "channels": self.channels, "block": self.chunk_size}

    def files(self, block: Box) -> tuple[str, ...]:
        if not self.is_sharded:
            return (f"{self.key}/{block_ranges(block)}",)
        return (f"{self.key}/{self._shards.compute_shard_location(self._code(block)).shard_number}.shard",)

    @cached_property
    def _shards(self) -> ShardingSpecification:
        from cloudvolume.datasource.precomputed.sharding import ShardingSpecification

        return ShardingSpecification.from_dict(self._scale["sharding"])

    def _code(self, chunk: Box) -> int:
        """The place of a chunk, which holds the first voxel of a box, along the format's curve."""
        from cloudvolume.datasource.precomputed.common import compressed_morton_code

        place = Box.from_shape(chunk.minimum, (1, 1, 1)).grid(self.chunk_size, self.box.minimum).minimum
        return int(compressed_morton_code(place, self.box.grid_shape(self.chunk_size)))

    def missing_blocks(self, box: Box) -> list[Box]:
        from cloudvolume.lib import Bbox

        box = box.intersect(self.box)
        if box.voxels == 0:
            return []
        chunks = cells_meeting(self.box, self.chunk_size, box)
        if self.is_sharded:
            codes = [self._code(chunk) for chunk in chunks]
            found = self._cloud.image.shard_reader(self.mip).exists(codes, path=self.key)
            return [chunk for chunk, code in zip(chunks, codes, strict=True) if found.get(code) is None]
        exist = self._cloud.image.exists(Bbox(box.minimum, box.maximum), mip=self.mip)
        return [chunk for chunk in chunks if not exist[f"{self.key}/{block_ranges(chunk)}"]]

    def _read(self, box: Box, missing: Missing) -> NDArray[Any]:
        from cloudvolume.exceptions import EmptyVolumeException

        cloud = self._cloud if missing == "error" else self._lenient
        try:
            # cloud-volume turns the axes around when the box is a single voxel of several channels.
            return np.asfortranarray(np.reshape(cloud[box.slices], (*box.shape, self.channels), order="F"))
        except EmptyVolumeException as error:
            raise self._missing_error(box, str(error), error) from error
        except codec_errors() as error:
            raise self._damage_error(box, _reason(error)) from error

    def check_decoding(self, box: Box) -> None:
        """As of any volume; raw blocks of the right size need no decoding, nor cloud-volume, which is slow to load."""
        if self.encoding == "raw" and not self.is_sharded and is_plain(self.path):
            for voxel in sample_voxels(box.intersect(self.box)):
                (block,) = self.blocks(voxel)
                stored = Storage(self.path).stored(self.block_name(block))
                if stored is not None and len(stored) == block.voxels * self.channels * self.dtype.itemsize:
                    return
        super().check_decoding(box)

    def _decodes(self, box: Box) -> bool:
        try:
            self._lenient[box.slices]
        except codec_errors():
            return False
        return True

    def _write(self, box: Box, blocks: Sequence[Box], voxels: NDArray[Any]) -> int:
        def files() -> Iterator[tuple[str, bytes]]:
            for block in blocks:
                part = voxels[block.within(box)]
                yield self.block_name(block), self._shard(block, part) if self.is_sharded else self._encoded(part)

        compress = self.encoding == "compressed_segmentation" and not self.is_sharded
        return Storage(self.path).put_all(files(), compress=compress)

    def _encoded(self, voxels: NDArray[Any]) -> bytes:
        """A chunk's voxels (X, Y, Z, C) in the layer's encoding, without loss."""
        from cloudvolume import chunks

        parameters: dict[str, Any] = {"level": LOSSLESS_JXL} if self.encoding == "jxl" else {}
        sub_block = SEGMENTATION_SUBBLOCK if self.encoding == "compressed_segmentation" else None
        part = np.asfortranarray(voxels)
        encoded: bytes = chunks.encode(part, self.encoding, block_size=sub_block, compression_params=parameters)
        return encoded

    def _shard(self, shard: Box, voxels: NDArray[Any]) -> bytes:
        """A file of all chunks of a shard. They are packed here: what cloud-volume packs depends on its own choices."""
        from cloudvolume.datasource.precomputed.sharding import ShardingSpecification

        packed = self._scale["sharding"]["data_encoding"] == "gzip"
        chunks = {}
        for chunk in cells_meeting(self.box, self.chunk_size, shard):
            content = self._encoded(voxels[chunk.within(shard)])
            chunks[self._code(chunk)] = gzip.compress(content, GZIP_LEVEL, mtime=0) if packed else content
        spec = ShardingSpecification.from_dict({**self._scale["sharding"], "data_encoding": "raw"})
        made: bytes = spec.synthesize_shard(chunks)
        return made


#: The quality of JPEG XL from which on cloud-volume encodes without loss.
LOSSLESS_JXL = 100


def codec_errors() -> tuple[type[Exception], ...]:
    """What codecs raise for content that is not theirs; errors of networks and disks are none of these."""
    decoders = (RuntimeError, NotImplementedError, ImportError, TypeError, IndexError, AssertionError, struct.error)
    own = (("crackle.headers", "FormatError"), ("compresso", "DecodeError"), ("compresso", "EncodeError"))
    loaded = (getattr(sys.modules[module], name, None) for module, name in own if module in sys.modules)
    return (*decoding_errors(), *decoders, *(error for error in loaded if error is not None))


def _reason(error: Exception) -> str:
    return " ".join(_COLOURS.sub("", str(error)).split()) or type(error).__name__


def block_ranges(block: Box) -> str:
    """What a chunk's file is called in the folder of its scale."""
    return "_".join(f"{a}-{b}" for a, b in zip(block.minimum, block.maximum, strict=True))


def is_plain(path: str) -> bool:
    """Whether a path has one scheme, so that the layer's files lie below it; servers and formats have others."""
    return cloud_path(path).count("://") == 1


def _parsed_info(path: str, content: bytes | None) -> dict[str, Any] | None:
    """An `info` as it is; None where there is none. Raises VolumeError where it is no JSON object."""
    if content is None:
        return None
    try:
        info = json.loads(content)
    except ValueError as error:
        raise VolumeError(
            f"cannot open {path} as a precomputed volume: its `info` is no JSON ({error}). Write it again, or "
            "`seuron import` the data that the layer was made from"
        ) from error
    if not isinstance(info, dict):
        raise VolumeError(f"cannot open {path} as a precomputed volume: its `info` is {type(info).__name__}, no object")
    return info


def read_layer_info(storage: Storage) -> dict[str, Any] | None:
    """The `info` of a precomputed layer; None for what is none, is damaged, or lacks what a scale has."""
    try:
        info = _parsed_info(storage.path, storage.get("info"))
    except (StorageError, VolumeError):
        return None
    return info if info is not None and not info_problems(info) else None


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


def precomputed_info(layout: LayerLayout) -> dict[str, Any]:
    """The `info` of a layer."""
    return {
        "@type": "neuroglancer_multiscale_volume",
        "type": layout.kind,
        "data_type": layout.dtype,
        "num_channels": layout.channels,
        "scales": [_scale_info(scale, layout.encoding) for scale in layout.scales],
    }


def _scale_info(layout: ScaleLayout, encoding: str) -> dict[str, Any]:
    """One entry of `scales`."""
    resolution = [int(v) if float(v).is_integer() else v for v in layout.resolution_nm]
    scale: dict[str, Any] = {
        "key": "_".join(f"{value:.9g}" for value in resolution),
        "encoding": encoding,
        "resolution": resolution,
        "voxel_offset": list(layout.box.minimum),
        "size": list(layout.box.shape),
        "chunk_sizes": [list(layout.chunk)],
    }
    if encoding == "compressed_segmentation":
        scale["compressed_segmentation_block_size"] = list(SEGMENTATION_SUBBLOCK)
    if layout.shard_bits:
        # A minishard is what a reader takes the index of at once: one for each shard.
        scale["sharding"] = {
            "@type": "neuroglancer_uint64_sharded_v1",
            "hash": "identity",
            "preshift_bits": layout.shard_bits,
            "minishard_bits": 0,
            "shard_bits": layout.curve_bits - layout.shard_bits,
            "minishard_index_encoding": "raw",
            "data_encoding": "gzip" if encoding == "compressed_segmentation" else "raw",
        }
    return scale


def volume_info(box: Box, resolution_nm: Resolution, **form: Any) -> dict[str, Any]:
    """The `info` of a layer, from the arguments of `LayerLayout`. Raises VolumeError for what cannot be stored."""
    return precomputed_info(LayerLayout(box, resolution_nm, **form))


def write_info(path: str, info: dict[str, Any]) -> None:
    """Write a layer's metadata."""
    Storage(path).put("info", json.dumps(info, indent=1, sort_keys=True).encode())
