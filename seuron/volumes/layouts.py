"""How a layer of ours is laid out, in any format: its scales, their boxes, chunks and shards, and its encoding.

A layer that would have very many files has its chunks put together in *shards*: each is one file, which is written
whole, and the chunks in it can be read one by one. A shard holds the chunks whose places along a curve through the grid
of chunks differ in the lowest bits only; precomputed volumes prescribe the curve ("compressed Morton code"), and
OME-Zarr layers have the same shards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Literal

from seuron.box import Box, Triple, triple
from seuron.errors import VolumeError
from seuron.volumes.volume import Kind, Resolution, pyramid_factors

LayerFormat = Literal["precomputed", "ome-zarr"]
#: A scale of more chunks than this is sharded: file systems and copying tools become slow with more files.
SHARD_ABOVE = 10_000
#: Voxels of a shard at most: a task holds all of one to write it.
SHARD_VOXELS = 2**24
#: The encodings that a layer can be written in, by format and kind; the first is what it has without a choice. All are
#: without loss.
LAYER_ENCODINGS: dict[LayerFormat, dict[Kind, tuple[str, ...]]] = {
    "precomputed": {
        "segmentation": ("compressed_segmentation", "crackle", "compresso", "raw"),
        "image": ("raw", "jxl", "png"),
    },
    "ome-zarr": {
        "segmentation": ("zstd", "blosc", "gzip", "raw"),
        "image": ("zstd", "blosc", "gzip", "raw"),
    },
}


@dataclass(frozen=True)
class ScaleLayout:
    """One scale of a layer.

    `box` is in its own voxels; `shard_bits` is how many bits of a chunk's place lie in a shard, 0 without shards.
    """

    box: Box
    resolution_nm: Resolution
    chunk: Triple
    shard_bits: int

    @property
    def grid(self) -> Triple:
        """How many chunks there are along each axis."""
        return self.box.grid_shape(self.chunk)

    @property
    def curve_bits(self) -> int:
        """Bits of a chunk's place along the curve."""
        return len(list(curve_axes(self.grid)))

    @property
    def block(self) -> Triple:
        """Voxels of a file: what is written whole."""
        return shard_size(self.grid, self.chunk, self.shard_bits)


@dataclass(frozen=True)
class LayerLayout:
    """A layer of a run, or of an import.

    Attributes:
        box: in voxels of the first scale.
        resolution_nm: the first scale's voxel, along x, y, z.
        dtype, channels, kind: of the voxels.
        block_size: a chunk's voxels, cut to the scale where that is smaller.
        pyramid: whether it has coarser scales.
        layer_format: what it is written as.
        encoding: one of `LAYER_ENCODINGS`; the first of its format and kind where empty.
        shard_above: a scale of more chunks has shards; 0 for no shards.
    """

    box: Box
    resolution_nm: Resolution
    dtype: str
    channels: int = 1
    kind: Kind = "image"
    block_size: Triple = (64, 64, 64)
    pyramid: bool = True
    layer_format: LayerFormat = "precomputed"
    encoding: str = ""
    shard_above: int = SHARD_ABOVE

    def __post_init__(self) -> None:
        """Raises VolumeError with all that cannot be stored."""
        allowed = LAYER_ENCODINGS[self.layer_format][self.kind]
        object.__setattr__(self, "encoding", self.encoding or allowed[0])
        problems = []
        if self.kind == "segmentation" and (self.dtype not in ("uint32", "uint64") or self.channels != 1):
            problems.append(
                f"a segmentation cannot be {self.dtype} with {self.channels} channels; "
                "allowed are uint32 and uint64 with one"
            )
        if self.box.voxels == 0:
            problems.append(f"a layer cannot have the empty box {self.box}; give at least one voxel along each axis")
        if self.encoding not in allowed:
            problems.append(
                f"the encoding of a {self.layer_format} {self.kind} cannot be {self.encoding!r}; "
                f"allowed are {', '.join(allowed)}"
            )
        if self.encoding in ("jxl", "png") and (self.dtype != "uint8" or self.channels not in (1, 3)):
            problems.append(
                f"the encoding {self.encoding} takes uint8 with 1 or 3 channels, got {self.dtype} with {self.channels}"
            )
        if problems:
            raise VolumeError("; ".join(problems))

    @cached_property
    def scales(self) -> tuple[ScaleLayout, ...]:
        """All scales, the finest first."""
        factors: list[Triple] = [(1, 1, 1)]
        for step in pyramid_factors(self.box.shape, self.resolution_nm) if self.pyramid else []:
            factors.append(triple([t * f for t, f in zip(factors[-1], step, strict=True)]))
        return tuple(self._scale(factor) for factor in factors)

    def _scale(self, factor: Triple) -> ScaleLayout:
        """The layer pooled by `factor` cells that start at the box's first corner.

        Corners are whole voxels, so where `factor` does not divide the corner the scale's is the nearest one: the
        coarse picture sits up to half a coarse voxel beside the fine one.
        """
        size = triple([-(-s // f) for s, f in zip(self.box.shape, factor, strict=True)])
        corner = [(2 * corner + f) // (2 * f) for corner, f in zip(self.box.minimum, factor, strict=True)]
        # Nine digits are far below anything a microscope knows, and drop what 4.6 * 3 would leave behind.
        x, y, z = (float(f"{v * f:.9g}") for v, f in zip(self.resolution_nm, factor, strict=True))
        chunk = triple([min(b, s) for b, s in zip(self.block_size, size, strict=True)])
        box = Box.from_shape(corner, size)
        return ScaleLayout(box, (x, y, z), chunk, shard_bits(box.grid_shape(chunk), chunk, self.shard_above))


def curve_axes(grid: Triple) -> Iterator[int]:
    """The axis of each bit of a chunk's place along the curve, the lowest bit first."""
    for bit in range(max(grid).bit_length()):
        yield from (axis for axis in range(3) if 1 << bit < grid[axis])


def shard_size(grid: Triple, chunk: Triple, bits: int) -> Triple:
    """Voxels of a shard that holds the chunks whose places differ in the lowest `bits` bits, in a grid of chunks."""
    size = list(chunk)
    for _, axis in zip(range(bits), curve_axes(grid), strict=False):
        size[axis] *= 2
    return triple(size)


def shard_bits(grid: Triple, chunk: Triple, shard_above: int) -> int:
    """The fewest bits with which a scale has at most `shard_above` files, as far as a shard may be large; 0: none."""
    most, bits = len(list(curve_axes(grid))), 0
    if shard_above == 0:
        return 0
    while (
        bits < most
        and prod(_files(grid, bits)) > shard_above
        and prod(shard_size(grid, chunk, bits + 1)) <= SHARD_VOXELS
    ):
        bits += 1
    return bits


def _files(grid: Triple, bits: int) -> Triple:
    return triple([-(-n // s) for n, s in zip(grid, shard_size(grid, (1, 1, 1), bits), strict=True)])


def planned_block(box: Box, block_size: Triple, shard_above: int) -> Triple:
    """What tasks write whole of the first scale of a layer with this box: a chunk, or a shard."""
    chunk = triple([min(b, s) for b, s in zip(block_size, box.shape, strict=True)])
    bits = shard_bits(box.grid_shape(chunk), chunk, shard_above)
    return shard_size(box.grid_shape(chunk), block_size if bits == 0 else chunk, bits)
