"""Sections through a run's layers as PNG: image, affinities, supervoxels and segments.

Sections are taken through the middle of the run's box, from the coarsest scale that still fills
the picture. Positions are matched in nanometres, so layers may have different boxes and scales.
Pictures are (rows, columns, RGB) uint8: rows run along the section's second axis.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, triple
from seuron.engine.run import Run
from seuron.errors import SeuronError
from seuron.volumes import Volume, open_volume

Picture = NDArray[np.uint8]

#: The section's normal axis, and the axes along its columns and rows.
PLANES: dict[str, tuple[int, int, int]] = {"xy": (2, 0, 1), "xz": (1, 0, 2), "yz": (0, 1, 2)}
AXES = "xyz"
#: Longest side of a picture in pixels; smaller sections are enlarged by whole factors towards it,
#: so that the outlines of segments are thin lines, not fat ones.
PIXELS = 560
TINT = 0.42
OUTLINE = 0.9


@dataclass(frozen=True)
class SectionPicture:
    """One picture of the report: which layer and plane, as a data URI, with its size on the page's grid in nm."""

    layer: str
    plane: str
    position: int
    uri: str
    width_nm: float
    height_nm: float

    @property
    def where(self) -> str:
        """The cut in words, such as `z = 83`."""
        return f"{AXES[PLANES[self.plane][0]]} = {self.position}"


def section_pictures(run: Run, paths: Mapping[str, str | None]) -> list[SectionPicture]:
    """Every layer that can be opened, cut in three planes; layers come in the order of `paths`.

    `paths` maps layer names to paths; `image` (or else `affinities`) is what labels are drawn over.
    """
    found = []
    volumes = {name: volume for name, path in paths.items() if path is not None and (volume := _open(path))}
    for plane in PLANES:
        cuts = {name: _cut(run, volume, plane) for name, volume in volumes.items()}
        base = _base(cuts)
        for name, cut in cuts.items():
            if cut is not None:
                found.append(_section(run, name, plane, _draw(volumes[name], cut, base)))
    return found


def _open(path: str) -> Volume | None:
    try:
        return open_volume(path)
    except SeuronError:
        return None  # an unfinished run has not all its layers


def _section(run: Run, layer: str, plane: str, picture: Picture) -> SectionPicture:
    normal, across, down = PLANES[plane]
    box, resolution = run.facts.box, run.facts.resolution_nm
    return SectionPicture(
        layer=layer,
        plane=plane,
        position=(box.minimum[normal] + box.maximum[normal]) // 2,
        uri=png_uri(picture),
        width_nm=box.shape[across] * resolution[across],
        height_nm=box.shape[down] * resolution[down],
    )


def _cut(run: Run, layer: Volume, plane: str) -> NDArray[Any] | None:
    """The section (columns, rows, channels) of a layer; None where the layer does not reach the box.

    Of all scales, the coarsest whose section has at least half of `PIXELS`, or the finest.
    """
    normal, across, down = PLANES[plane]
    chosen: tuple[Volume, Box] | None = None
    for mip in range(layer.scales):
        volume = open_volume(layer.path, mip)
        box = _section_box(run, volume, normal)
        longest = max(box.shape[across], box.shape[down])
        if chosen is None or longest >= PIXELS // 2:
            chosen = (volume, box)
    if chosen is None or chosen[1].voxels == 0:
        return None
    voxels = np.squeeze(chosen[0].read(chosen[1], missing="zero"), axis=normal)
    return _enlarged(voxels)


def _section_box(run: Run, volume: Volume, normal: int) -> Box:
    """One voxel thick through the middle of the run's box, in voxels of `volume`."""
    ratios = [mine / r for mine, r in zip(run.facts.resolution_nm, volume.resolution_nm, strict=True)]
    low = [int(a * ratio) for a, ratio in zip(run.facts.box.minimum, ratios, strict=True)]
    high = [max(a + 1, round(b * ratio)) for a, b, ratio in zip(low, run.facts.box.maximum, ratios, strict=True)]
    middle = (run.facts.box.minimum[normal] + run.facts.box.maximum[normal]) / 2
    low[normal] = int(middle * ratios[normal])
    high[normal] = low[normal] + 1
    return Box(triple(low), triple(high)).intersect(volume.box)


def _enlarged(voxels: NDArray[Any]) -> NDArray[Any]:
    factor = max(1, PIXELS // max(voxels.shape[:2]))
    return voxels.repeat(factor, axis=0).repeat(factor, axis=1)


def _base(cuts: Mapping[str, NDArray[Any] | None]) -> NDArray[np.float32] | None:
    """Grey values 0 to 255 (columns, rows) to draw labels over."""
    image, affinities = cuts.get("image"), cuts.get("affinities")
    if image is not None:
        return grey(image[..., 0])
    return None if affinities is None else grey(affinities.mean(axis=-1))


def _draw(layer: Volume, cut: NDArray[Any], base: NDArray[np.float32] | None) -> Picture:
    if layer.kind == "segmentation":
        return _transposed(overlay(cut[..., 0], None if base is None else _fitted(base, cut.shape[0], cut.shape[1])))
    if cut.shape[2] >= 3:
        channels = cut[..., :3].astype(np.float32) * (1 if cut.dtype == np.uint8 else 255)
        return _transposed(np.clip(np.nan_to_num(channels), 0, 255).astype(np.uint8))
    values = grey(cut[..., 0]).astype(np.uint8)
    return _transposed(np.stack([values] * 3, axis=-1))


def _fitted(base: NDArray[np.float32], columns: int, rows: int) -> NDArray[np.float32]:
    """The nearest pixels of `base` for a picture of another size: layers may differ in scale or by a voxel."""
    across = np.arange(columns) * base.shape[0] // columns
    down = np.arange(rows) * base.shape[1] // rows
    return base[np.ix_(across, down)]


def _transposed(picture: Picture) -> Picture:
    """Columns first, as volumes are stored, to rows first, as pictures are."""
    return np.ascontiguousarray(picture.transpose(1, 0, 2))


def grey(values: NDArray[Any]) -> NDArray[np.float32]:
    """Grey values 0 to 255: uint8 as it is, anything else stretched between its 0.5 and 99.5 percentiles."""
    if values.dtype == np.uint8:
        return values.astype(np.float32)
    low, high = np.nanpercentile(values, (0.5, 99.5))
    stretched = (np.nan_to_num(values.astype(np.float32)) - low) / max(float(high - low), 1e-9) * 255
    clipped: NDArray[np.float32] = np.clip(stretched, 0, 255).astype(np.float32)
    return clipped


def overlay(labels: NDArray[Any], base: NDArray[np.float32] | None) -> Picture:
    """Labels (columns, rows) as tints with outlines over grey values; background (0) keeps its grey."""
    colours = label_colours(labels)
    under = np.full(labels.shape, 40, np.float32) if base is None else base
    tint = np.where(labels == 0, 0.0, 0.85 if base is None else TINT)
    tint = np.where(_outlines(labels), OUTLINE, tint)[..., np.newaxis]
    blended: Picture = (under[..., np.newaxis] * (1 - tint) + colours * tint).astype(np.uint8)
    return blended


def label_colours(labels: NDArray[Any]) -> NDArray[np.float32]:
    """A colour for each id, (..., RGB) 0 to 255, the same wherever the id occurs; 0 is black.

    Ids are scrambled (the finaliser of splitmix64) so that neighbours in number differ in hue.
    """
    mixed = labels.astype(np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    hue = (mixed & np.uint64(0xFFFF)).astype(np.float32) / 65536 * 6
    light = 0.75 + (mixed >> np.uint64(16) & np.uint64(0xFF)).astype(np.float32) / 1024
    wheel = np.stack([np.abs(hue - 3) - 1, 2 - np.abs(hue - 2), 2 - np.abs(hue - 4)], axis=-1)
    colours = (0.3 + 0.7 * np.clip(wheel, 0, 1)) * light[..., np.newaxis] * 255
    return np.where((labels == 0)[..., np.newaxis], 0, np.minimum(colours, 255)).astype(np.float32)


def _outlines(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels of an object whose right or lower neighbour is another."""
    edge = np.zeros(labels.shape, bool)
    edge[:-1] |= labels[:-1] != labels[1:]
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[labels == 0] = False
    return edge


def png_uri(picture: Picture) -> str:
    """A picture as a data URI; grey ones are stored as grey."""
    from PIL import Image

    is_grey = bool((picture[..., :1] == picture).all())
    stored = Image.fromarray(np.ascontiguousarray(picture[..., 0]) if is_grey else picture)
    sink = io.BytesIO()
    stored.save(sink, "png", compress_level=6)  # `optimize` saves 5 % and takes three times as long
    return "data:image/png;base64," + base64.b64encode(sink.getvalue()).decode()
