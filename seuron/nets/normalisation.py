"""The scale between stored grey values and what the net sees.

The scale belongs to the run, never to the chunk or the patch: a patch normalised by its own
content would give different affinities for the same voxel in different patches, and seams.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import numpy.typing as npt

from seuron.box import Box, triple
from seuron.errors import PermanentError

#: A box of fewer cells of this side is measured whole, a larger one on about `SAMPLES` cubes of half of it.
CELL = 64
WHOLE_CELLS = 16
SAMPLES = 64
#: Squares of a section that are measured along each axis, at most.
SECTION_SAMPLES = 4
#: Cells whose contrast is below this share of the highest are resin, or another empty place.
LEAST_CONTRAST = 1 / 3


@dataclass(frozen=True)
class Normalisation:
    """`(value - mean) / std`, in grey values of the stored image.

    The default is the scale of FIB-25 (Drosophila medulla, FIB-SEM).
    """

    mean: float = 130.0
    std: float = 33.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.mean) and np.isfinite(self.std) and self.std > 0):
            raise PermanentError(f"image normalisation: got mean {self.mean}, std {self.std}; std must be positive")

    def apply(self, image: npt.NDArray[np.generic], first_section: int = 0) -> npt.NDArray[np.float32]:
        """The image on the net's scale, float32, same shape; the same for every section."""
        scaled: npt.NDArray[np.float32] = image.astype(np.float32)
        scaled -= np.float32(self.mean)
        scaled *= np.float32(1.0 / self.std)
        return scaled


@dataclass(frozen=True)
class SectionNormalisation:
    """A scale for each section of an image, as their contrast differs: those from `first` on, along z.

    Sections before and behind them have the scale of the nearest.
    """

    first: int
    scales: tuple[Normalisation, ...]

    def apply(self, image: npt.NDArray[np.generic], first_section: int = 0) -> npt.NDArray[np.float32]:
        """The image `(X, Y, Z)`, whose sections are those from `first_section` on, on the net's scale, float32."""
        last = len(self.scales) - 1
        used = [self.scales[min(max(0, first_section + z - self.first), last)] for z in range(image.shape[2])]
        scaled: npt.NDArray[np.float32] = image.astype(np.float32)
        scaled -= np.array([scale.mean for scale in used], np.float32)
        scaled *= np.array([1.0 / scale.std for scale in used], np.float32)
        return scaled


GreyScale = Normalisation | SectionNormalisation


def sample_boxes(box: Box) -> list[Box]:
    """Boxes that are spread evenly over a box along all of its axes, and mirror one another: of a small one, all of it.

    A box is cut into strata of equal size, and one sample lies in the middle of each.
    """
    cells = [-(-size // CELL) for size in box.shape]
    whole = math.prod(cells) < WHOLE_CELLS
    parts = list(cells) if whole else _sample_grid(box, cells)
    cuts = [_cuts(size, count) for size, count in zip(box.shape, parts, strict=True)]
    if not whole:
        cuts = [[_middle(a, b) for a, b in axis] for axis in cuts]
    corners = product(*cuts)
    return [Box(triple([a for a, _ in ends]), triple([b for _, b in ends])).shifted(box.minimum) for ends in corners]


def _sample_grid(box: Box, cells: list[int]) -> list[int]:
    """How many strata there are along each axis: more along longer ones, no more than cells."""
    parts = [1, 1, 1]
    while math.prod(parts) < SAMPLES and any(n < most for n, most in zip(parts, cells, strict=True)):
        growing = [axis for axis in range(3) if parts[axis] < cells[axis]]
        longest = max(growing, key=lambda axis: box.shape[axis] / parts[axis])
        parts[longest] += 1
    return parts


def _cuts(size: int, count: int) -> list[tuple[int, int]]:
    """An axis in parts that mirror one another; an odd axis has no middle to be cut at."""
    count += int(size % 2 == 1 and count % 2 == 0)
    low = [index * size // count for index in range(count // 2 + 1)]
    bounds = [*low, *(size - at for at in reversed(low))]
    bounds = list(dict.fromkeys(bounds))
    return list(pairwise(bounds))


def _middle(start: int, end: int) -> tuple[int, int]:
    """The middle of a part, one voxel longer where the part's middle lies in a voxel."""
    size = end - start
    length = min(size, CELL // 2 + size % 2)
    return start + (size - length) // 2, start + (size + length) // 2


def measure_image(read: Callable[[Box], npt.NDArray[np.uint8]], box: Box) -> Normalisation:
    """The scale of a run, measured where there is tissue in its box. Mirroring the volume changes nothing of it.

    Cells without contrast (black, constant, resin) are left out. Raises PermanentError where there are no others.
    """
    cells = [_histogram(read(cell)) for cell in sample_boxes(box)]
    contrasts = [_mean_and_std(cell)[1] for cell in cells]
    if max(contrasts) == 0:
        raise PermanentError(f"the grey scale cannot be measured: all of {len(cells)} samples of {box} are constant")
    least = LEAST_CONTRAST * max(contrasts)
    tissue = [cell for cell, contrast in zip(cells, contrasts, strict=True) if contrast >= least]
    return _scale(np.sum(tissue, axis=0))


def measure_sections(
    read: Callable[[Box], npt.NDArray[np.uint8]], box: Box, otherwise: Normalisation
) -> SectionNormalisation:
    """A scale for each section of a box, measured on about `SECTION_SAMPLES` squares that are spread over it.

    A section that is empty or constant where it is measured has the scale `otherwise`.
    """
    scales: list[Normalisation] = []
    for low in range(box.minimum[2], box.maximum[2], CELL):
        high = min(low + CELL, box.maximum[2])
        samples = [read(square) for square in _squares(box, low, high)]
        for z in range(high - low):
            counts = np.sum([_histogram(sample[:, :, z]) for sample in samples], axis=0)
            scales.append(_scale_or(counts, otherwise))
    return SectionNormalisation(box.minimum[2], tuple(scales))


def _squares(box: Box, low: int, high: int) -> list[Box]:
    """Columns over a range of sections, evenly spread over a box along x and y."""
    cells = [-(-size // CELL) for size in box.shape[:2]]
    parts = [min(count, SECTION_SAMPLES) for count in cells]
    rows = [
        [_middle(a + start, b + start) for a, b in _cuts(size, count)]
        for size, count, start in zip(box.shape, parts, box.minimum, strict=False)
    ]
    return [Box((x0, y0, low), (x1, y1, high)) for (x0, x1), (y0, y1) in product(*rows)]


def _scale_or(counts: npt.NDArray[np.float64], otherwise: Normalisation) -> Normalisation:
    try:
        return _scale(counts)
    except PermanentError:  # nothing but one grey value
        return otherwise


def measure_percentiles(
    read: Callable[[Box], npt.NDArray[np.uint8]], box: Box, low: float, high: float
) -> Normalisation:
    """The scale on which the grey values at two percentiles of a box's tissue are 0 and 1."""
    counts = np.sum([_histogram(read(cell)) for cell in sample_boxes(box)], axis=0)
    if not counts.any():
        raise PermanentError(f"the grey scale cannot be measured: every sample of {box} is 0")
    below = np.cumsum(counts) / counts.sum() * 100
    first, last = (int(np.searchsorted(below, percentile)) for percentile in (low, high))
    if first == last:
        raise PermanentError(f"the grey scale cannot be measured: percentiles {low} and {high} are both {first}")
    return Normalisation(float(first), float(last - first))


def _histogram(sample: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """How many voxels have the grey values 0 to 255; 0 is taken for masked or missing and not counted."""
    counts = np.bincount(sample.ravel(order="K"), minlength=256).astype(np.float64)
    counts[0] = 0
    return counts


def _mean_and_std(counts: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Of the grey values that a histogram counts; zeros of an empty one."""
    if not counts.any():
        return 0.0, 0.0
    values = np.arange(256)
    mean = float((counts * values).sum() / counts.sum())
    return mean, float(np.sqrt((counts * (values - mean) ** 2).sum() / counts.sum()))


def measure_normalisation(sample: npt.NDArray[np.uint8]) -> Normalisation:
    """The scale of a run, from a sample of its image; call it once and keep the answer.

    Grey value 0 is taken for masked or missing, and the darkest and brightest percent are cut off, so that
    black borders, charging and dirt do not move the scale.

    Args:
        sample: uint8, any shape; some millions of voxels from all over the volume are plenty.

    Raises:
        PermanentError: every voxel is 0, or all are equal.
    """
    return _scale(_histogram(sample))


def _scale(counts: npt.NDArray[np.float64]) -> Normalisation:
    """The scale of a histogram of grey values."""
    total = counts.sum()
    if total == 0:
        raise PermanentError("image normalisation: every voxel of the sample is 0; sample where there is tissue")
    below = np.cumsum(counts) / total
    counts[(below < 0.01) | (below - counts / total > 0.99)] = 0
    mean, std = _mean_and_std(counts)
    if std == 0:
        raise PermanentError(f"image normalisation: every voxel of the sample is {mean:.0f}; is this an image?")
    return Normalisation(mean, std)
