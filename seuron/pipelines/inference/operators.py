"""Operators on a chunk in memory, for a line of them: read, normalise, infer, threshold, find components, write.

The pipeline does the same on a volume of any size, in tasks that resume. An operator takes a chunk and gives one, or
None where what follows is to be skipped.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, Triple, triple
from seuron.engine.queues import usable_cores
from seuron.errors import ParameterErrors
from seuron.pipelines.stages.predict.masks import MaskFacts, kept_by, mask_factor
from seuron.volumes import create_volume, open_volume
from seuron.volumes.layouts import LayerFormat
from seuron.volumes.pyramid import build_pyramid, pool
from seuron.volumes.volume import Kind, Missing, Resolution

#: Voxels of a chunk: all of it, and what operators make of it, lies in memory.
MOST_VOXELS = 2**31


@dataclass(frozen=True)
class Chunk:
    """A box of a volume in memory.

    Attributes:
        voxels: `(X, Y, Z, C)`.
        box: where they lie, in voxels of `resolution_nm`.
        whole: the box of the volume that they are a part of, which a layer that is made for them has.
        resolution_nm: of a voxel, along x, y, z.
        kind: grey values, or labels.
    """

    voxels: NDArray[Any]
    box: Box
    whole: Box
    resolution_nm: Resolution
    kind: Kind = "image"

    @property
    def channels(self) -> int:
        return int(self.voxels.shape[3])


Operator = Callable[[Chunk], Chunk | None]


def read_chunk(path: str, box: Box | None, mip: int = 0, missing: Missing = "error") -> Chunk:
    """A box of a volume, all of it where no box is given."""
    volume = open_volume(path, mip)
    wanted = volume.box if box is None else box
    problems = []
    if not volume.box.contains(wanted) or wanted.voxels == 0:
        problems.append(f"--box: {wanted} is empty or outside of {path}, which is {volume.box} at scale {mip}")
    if wanted.voxels > MOST_VOXELS:
        problems.append(
            f"--box: {wanted} has {wanted.voxels} voxels, and a chunk at most {MOST_VOXELS}; give a smaller one, or "
            "run the pipeline inference"
        )
    if problems:
        raise ParameterErrors(problems, "the chunk")
    voxels = volume.read(wanted, missing=missing)
    return Chunk(voxels, wanted, volume.box, volume.resolution_nm, volume.kind)


def normalize(chunk: Chunk, low: float = 0.01, high: float = 0.01, *, sections: bool = True) -> Chunk:
    """Contrast: grey values between shares of the darkest and the brightest become 1 to 255; 0 stays, as uint8.

    Args:
        chunk: an image.
        low, high: the shares that are clipped, of the voxels that are not 0.
        sections: each section by itself, or the chunk as one.
    """
    _check(chunk, "normalize", images=True)
    made = np.zeros(chunk.voxels.shape, np.uint8, order="F")
    depth = range(chunk.box.shape[2]) if sections else [slice(None)]
    for z in depth:
        for channel in range(chunk.channels):
            values = chunk.voxels[:, :, z, channel]
            tissue = values[values != 0]
            if tissue.size == 0:
                continue
            dark, bright = np.quantile(tissue, [low, 1 - high])
            scaled = (values - dark) * (254.0 / max(bright - dark, np.finfo(np.float32).tiny)) + 1
            made[:, :, z, channel] = np.where(values != 0, np.clip(np.rint(scaled), 1, 255), 0)
    return replace(chunk, voxels=made)


def infer(
    chunk: Chunk,
    model: str,
    *,
    patch: Triple = (96, 96, 96),
    overlap: Triple = (16, 16, 16),
    crop: bool = False,
    augmentation: str = "none",
    engine: Literal["auto", "torch", "onnx", "openvino"] = "auto",
) -> Chunk:
    """What a net says of the chunk: all of its channels, float32. Beyond the chunk the image is mirrored."""
    from seuron.nets.engines import load_engine
    from seuron.nets.models.fit import resolution_problems
    from seuron.nets.predict import model_scale, predict_volume

    _check(chunk, "infer", images=True, channels=1, dtype="uint8")
    loaded = load_engine(model, engine=engine, threads=usable_cores())
    described = loaded.description
    if problems := resolution_problems(described, {0: chunk.resolution_nm}, 0):
        raise ParameterErrors(problems, "the net")
    image = np.asfortranarray(chunk.voxels[..., 0])
    scale = model_scale(described, lambda part: image[part.slices], Box.from_shape((0, 0, 0), image.shape))
    found = predict_volume(
        loaded, image, scale, patch, overlap, blending="crop" if crop else "blend", augmentation=augmentation
    )
    return replace(chunk, voxels=np.asfortranarray(found))


def take_channels(chunk: Chunk, numbers: Sequence[int]) -> Chunk:
    """Some channels, in this order."""
    if wrong := [number for number in numbers if not 0 <= number < chunk.channels]:
        raise ParameterErrors(
            [f"channel: got {wrong}; the chunk has the channels 0 to {chunk.channels - 1}"], "channels"
        )
    return replace(chunk, voxels=np.asfortranarray(chunk.voxels[..., list(numbers)]))


def threshold(chunk: Chunk, value: float) -> Chunk:
    """1 where a value is above the threshold, else 0, as uint8."""
    _check(chunk, "threshold", images=True)
    return replace(chunk, voxels=(chunk.voxels > value).astype(np.uint8, order="F"))


def quantize(chunk: Chunk) -> Chunk:
    """Numbers from 0 to 1 as uint8: `round(255 x)`."""
    from seuron.nets.predict import to_uint8

    _check(chunk, "quantize", images=True, dtype="float32")
    return replace(chunk, voxels=np.asfortranarray(to_uint8(np.clip(chunk.voxels, 0, 1))))


def components(chunk: Chunk, connectivity: Literal[6, 18, 26] = 26, size: int = 0) -> Chunk:
    """Connected components of what is not 0, counted from 1 on; those of fewer voxels than `size` become 0."""
    import cc3d

    _check(chunk, "components", channels=1)
    found = cc3d.connected_components(chunk.voxels[..., 0] != 0, connectivity=connectivity, out_dtype=np.uint32)
    if size > 1:
        found = cc3d.dust(found, threshold=size, connectivity=connectivity)
        found = cc3d.connected_components(found != 0, connectivity=connectivity, out_dtype=np.uint32)
    return replace(chunk, voxels=np.asfortranarray(found)[..., np.newaxis], kind="segmentation")


def mask(chunk: Chunk, path: str, mip: int = 0, *, inverted: bool = False) -> Chunk:
    """0 where a mask is 0 (or is not, inverted). Its voxels are whole multiples of the chunk's."""
    volume = open_volume(path, mip)
    factor = mask_factor(volume.resolution_nm, chunk.resolution_nm)
    if factor is None:
        raise ParameterErrors(
            [
                f"mask: the voxels of {path} are {volume.resolution_nm} nm, those of the chunk {chunk.resolution_nm} "
                "nm; give one, or a --mip, whose voxels are whole multiples of the chunk's"
            ],
            "the mask",
        )
    kept = kept_by(volume, MaskFacts(factor, volume.box), chunk.box, inverted=inverted)
    return replace(chunk, voxels=chunk.voxels * kept[..., np.newaxis].astype(chunk.voxels.dtype))


def crop(chunk: Chunk, margin: Triple) -> Chunk:
    """Without a margin on all sides."""
    low, high = chunk.box.minimum, chunk.box.maximum
    box = Box(
        triple([a + m for a, m in zip(low, margin, strict=True)]),
        triple([b - m for b, m in zip(high, margin, strict=True)]),
    )
    if min(margin) < 0 or min(box.shape) < 1:
        raise ParameterErrors([f"crop: the margin {margin} leaves nothing of {chunk.box.shape} voxels"], "the margin")
    return replace(chunk, voxels=np.asfortranarray(chunk.voxels[box.within(chunk.box)]), box=box)


def downsample(chunk: Chunk, factor: Triple) -> Chunk:
    """Pooled: the mean of an image, the commonest of labels. The box must begin and end at whole cells."""
    ends = (*chunk.box.corners, *chunk.whole.minimum)
    if min(factor) < 1 or any(end % factor[axis % 3] for axis, end in enumerate(ends)):
        raise ParameterErrors(
            [f"downsample: the box {chunk.box} of {chunk.whole} is not made of whole cells of {factor} voxels"],
            "the factor",
        )

    def pooled(box: Box) -> Box:
        low = triple([a // f for a, f in zip(box.minimum, factor, strict=True)])
        return Box(low, triple([-(-b // f) for b, f in zip(box.maximum, factor, strict=True)]))

    x, y, z = (nm * f for nm, f in zip(chunk.resolution_nm, factor, strict=True))
    voxels = pool(chunk.voxels, factor, chunk.kind)
    return replace(chunk, voxels=voxels, box=pooled(chunk.box), whole=pooled(chunk.whole), resolution_nm=(x, y, z))


def skip_empty(chunk: Chunk) -> Chunk | None:
    """Nothing more is done with a chunk that is 0 everywhere."""
    return chunk if chunk.voxels.any() else None


def skip_stored(chunk: Chunk, path: str) -> Chunk | None:
    """Nothing more is done with a chunk whose blocks a layer has already."""
    from seuron.errors import VolumeError

    try:
        layer = open_volume(path)
    except VolumeError:
        return chunk  # which is not there yet
    return chunk if layer.missing_blocks(chunk.box) else None


def write_layer(
    chunk: Chunk, path: str, *, block: Triple = (64, 64, 64), layer_format: LayerFormat = "precomputed", pyramid: bool
) -> Chunk:
    """Into a layer, which is made as large as the whole volume if it is not there; the chunk is whole blocks of it."""
    layer = create_volume(
        path,
        chunk.whole,
        chunk.resolution_nm,
        dtype=str(chunk.voxels.dtype),
        channels=chunk.channels,
        kind=chunk.kind,
        block_size=block,
        pyramid=pyramid,
        layer_format=layer_format,
    )
    layer.write(chunk.box, np.asfortranarray(chunk.voxels))
    if pyramid:
        build_pyramid(layer, missing="zero")
    return chunk


def save(chunk: Chunk, target: str, format_name: str | None = None, *, overwrite: bool = False) -> Chunk:
    """As a file of another format: what `seuron export` writes."""
    from seuron.volumes.exports.layer_export import export_layer

    with tempfile.TemporaryDirectory(prefix="seuron-chunk-") as folder:
        write_layer(replace(chunk, whole=chunk.box), folder, pyramid=False)
        export_layer(open_volume(folder), target, format_name=format_name, overwrite=overwrite)
    return chunk


def describe(chunk: Chunk) -> str:
    """A line: size, type, place and values."""
    low, high = (chunk.voxels.min(), chunk.voxels.max()) if prod(chunk.voxels.shape) else (0, 0)
    return f"{chunk.kind}, {chunk.channels} x {chunk.voxels.dtype}, {chunk.box}, values {low:g} to {high:g}"


def _check(
    chunk: Chunk, operator: str, *, images: bool = False, channels: int | None = None, dtype: str | None = None
) -> None:
    """Raise ParameterErrors where an operator is not for such a chunk."""
    problems = []
    if images and chunk.kind != "image":
        problems.append(f"{operator}: it is for images, and the chunk holds labels; put it before `components`")
    if channels is not None and chunk.channels != channels:
        problems.append(
            f"{operator}: the chunk has {chunk.channels} channels, and {channels} is needed; put `channel N` before it"
        )
    if dtype is not None and chunk.voxels.dtype != dtype:
        remedy = "put `normalize` before it" if dtype == "uint8" else "leave it out"
        problems.append(f"{operator}: the chunk holds {chunk.voxels.dtype}, and {dtype} is needed; {remedy}")
    if problems:
        raise ParameterErrors(problems, f"the operator {operator}")
