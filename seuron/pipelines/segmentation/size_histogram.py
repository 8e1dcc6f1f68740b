"""The sizes of segments as a picture, for places that show no SVG."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

from seuron.pipelines.segmentation.segment_sizes import Sizes
from seuron.reporting.quantities import big, count

#: Pixels of the picture and of what is around the bars.
WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 24, 24, 44, 64
_INK, _BAR, _LINE, _PAPER = "#1f2933", "#3b7ea1", "#cbd2d9", "#ffffff"


def size_histogram(sizes: Sizes) -> Image.Image:
    """How many segments there are of each size, one bar for each bin of `sizes.bins()`; sizes in voxels."""
    bins = sizes.bins()
    picture = Image.new("RGB", (WIDTH, HEIGHT), _PAPER)
    draw, font, small = ImageDraw.Draw(picture), ImageFont.load_default(15), ImageFont.load_default(12)
    draw.text((LEFT, 14), _plain(f"{count(len(sizes.ids))} segments by size (voxels)"), _INK, font)
    floor = HEIGHT - BOTTOM
    draw.line((LEFT, floor, WIDTH - RIGHT, floor), _LINE)
    if not bins:
        return picture
    step = (WIDTH - LEFT - RIGHT) / len(bins)
    most = max(found.segments for found in bins)
    for index, found in enumerate(bins):
        left = LEFT + index * step
        top = floor - (floor - TOP - 18) * found.segments / most
        if found.segments:
            draw.rectangle((left + 2, min(top, floor - 1), left + max(step - 2, 3), floor - 1), _BAR)
            draw.text((left + step / 2, top - 4), _plain(count(found.segments)), _INK, small, anchor="ms")
        draw.text((left + step / 2, floor + 8), _plain(big(found.low)), _INK, small, anchor="ma")
    draw.text((WIDTH / 2, HEIGHT - 26), "smallest size of each bin", _INK, small, anchor="ma")
    return picture


def _plain(text: str) -> str:
    """The font has no narrow space."""
    return " ".join(text.split())
