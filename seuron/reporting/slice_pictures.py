"""The middle slices of an inspected volume as text for a terminal, and as a PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seuron.reporting.pictures import grey, overlay
from seuron.volumes.inspection import Inspection, Slice
from seuron.volumes.volume import Kind

#: From dark to bright, on a dark terminal.
SHADES = np.array(list(" .:-=+*#%@"))
#: A character is about twice as high as it is wide.
CHARACTER_HEIGHT = 2.0
COLUMNS, MOST_ROWS = 26, 24
#: Of a PNG: pixels between the slices, and along the longest side of one.
GAP, MOST_PIXELS = 8, 1024


def text_picture(inspection: Inspection) -> str:
    """The three slices side by side in characters, brighter ones denser; labels by shades of their own."""
    blocks = []
    for found in inspection.slices:
        columns, rows = _grid(found)
        across = np.arange(columns) * found.pixels.shape[0] // columns
        down = np.arange(rows) * found.pixels.shape[1] // rows
        bright = _brightness(found.pixels, inspection.kind.value)[np.ix_(across, down)]
        lines = SHADES[np.clip(bright / 256 * len(SHADES), 0, len(SHADES) - 1).astype(int)].T
        blocks.append([_title(found).ljust(columns), *("".join(line) for line in lines)])
    height = max(map(len, blocks))
    padded = [block + [" " * len(block[0])] * (height - len(block)) for block in blocks]
    return "\n".join("   ".join(parts).rstrip() for parts in zip(*padded, strict=True))


def write_png(inspection: Inspection, path: str) -> None:
    """Write the three slices side by side; what lies in the tissue at one scale is drawn at one."""
    from PIL import Image

    pictures = [_picture(found, inspection.kind.value) for found in inspection.slices]
    both = list(zip(inspection.slices, pictures, strict=True))
    # No slice loses pixels, unless the page would become too large.
    scale = max(
        pixels / length for found, p in both for pixels, length in zip(p.shape[1::-1], found.size_nm, strict=True)
    )
    scale = min(scale, MOST_PIXELS / max(max(found.size_nm) for found in inspection.slices))
    drawn = []
    for found, picture in both:
        size = [max(1, round(length * scale)) for length in found.size_nm]
        drawn.append(Image.fromarray(picture).resize((size[0], size[1]), Image.Resampling.NEAREST))
    width = sum(image.width for image in drawn) + GAP * (len(drawn) - 1)
    page = Image.new("RGB", (width, max(image.height for image in drawn)), "white")
    left = 0
    for image in drawn:
        page.paste(image, (left, 0))
        left += image.width + GAP
    page.save(Path(path).expanduser(), "png")


def _picture(found: Slice, kind: Kind) -> NDArray[np.uint8]:
    """(rows, columns, RGB)."""
    if kind == "segmentation":
        return np.ascontiguousarray(overlay(found.pixels, None).transpose(1, 0, 2))
    bright = _brightness(found.pixels, kind).astype(np.uint8).T
    return np.ascontiguousarray(np.stack([bright] * 3, axis=-1))


def _brightness(pixels: NDArray[np.generic], kind: Kind) -> NDArray[np.float32]:
    """0 to 255 of each pixel, (columns, rows); channels are averaged, an id has the same shade wherever it is."""
    if kind == "segmentation":
        mixed = pixels.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(56)  # Fibonacci hashing
        return np.where(pixels == 0, 0, np.maximum(mixed, 256 // len(SHADES) + 1)).astype(np.float32)
    flat = pixels if pixels.ndim == 2 else pixels.astype(np.float32).mean(axis=-1)
    return grey(flat)


def _grid(found: Slice) -> tuple[int, int]:
    """Characters across and down, in the tissue's proportions."""
    width, height = found.size_nm
    rows = COLUMNS * height / width / CHARACTER_HEIGHT
    columns = COLUMNS if rows <= MOST_ROWS else COLUMNS * MOST_ROWS / rows
    return max(len(_title(found)), round(columns)), max(1, round(min(rows, MOST_ROWS)))


def _title(found: Slice) -> str:
    normal: Sequence[str] = [axis for axis in "xyz" if axis not in found.plane]
    return f"{found.plane} at {normal[0]} = {found.position}"
