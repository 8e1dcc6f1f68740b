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

    def apply(self, image: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        """The image on the net's scale, float32, same shape."""
        scaled: npt.NDArray[np.float32] = image.astype(np.float32)
        scaled -= np.float32(self.mean)
        scaled *= np.float32(1.0 / self.std)
        return scaled


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
