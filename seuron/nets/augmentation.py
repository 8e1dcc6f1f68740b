"""Random changes to training patches that leave the truth true.

Geometry changes image and labels together; grey values change the image only. Everything draws
from the generator it is given, so a seed fixes the whole training.
"""

from __future__ import annotations

from itertools import permutations
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]
Scalar = TypeVar("Scalar", bound=np.generic)


class Orientation:
    """A flip and a permutation of equal axes, applied alike to image, labels and mask."""

    def __init__(
        self,
        rng: np.random.Generator,
        resolution: tuple[float, float, float],
        patch_size: tuple[int, int, int],
    ) -> None:
        # Axes of another resolution look different; axes of another length would not fit a batch.
        kinds = list(zip(resolution, patch_size, strict=True))
        allowed = [o for o in permutations(range(3)) if all(kinds[a] == kinds[i] for i, a in enumerate(o))]
        self.axes = allowed[int(rng.integers(len(allowed)))]
        self.flips = tuple(axis for axis in range(3) if rng.random() < 0.5)

    def apply(self, array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """The array `(X, Y, Z)` in the new orientation, a view."""
        return np.flip(array.transpose(self.axes), self.flips)


def vary_grey(image: Image, rng: np.random.Generator) -> Image:
    """Another contrast, brightness, gamma and noise: what differs between microscopes and runs.

    Args:
        image: float32 `(X, Y, Z)`, normalised to mean 0 and standard deviation 1.

    Returns:
        float32, same shape.
    """
    varied = image
    if rng.random() < 0.5:
        # Gamma needs positive values; -3..3 standard deviations hold nearly all of an image.
        unit = np.clip((varied + 3.0) / 6.0, 0.0, 1.0)
        varied = unit ** np.float32(2.0 ** rng.uniform(-0.7, 0.7)) * 6.0 - 3.0
    contrast, brightness = 2.0 ** rng.uniform(-0.6, 0.6), rng.normal(0.0, 0.35)
    varied = varied * np.float32(contrast) + np.float32(brightness)
    if rng.random() < 0.7:
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        varied = varied + noise * np.float32(rng.uniform(0.0, 0.35))
    return varied.astype(np.float32, copy=False)


def vary_sections(image: Image, rng: np.random.Generator) -> Image:
    """Now and then a section of another contrast, or none at all, along one axis.

    The labels stay: the net learns to bridge what is missing.
    """
    if rng.random() >= 0.2:
        return image
    varied = image.copy()
    axis, at = int(rng.integers(3)), int(rng.integers(min(image.shape)))
    where: list[slice | int] = [slice(None)] * 3
    where[axis] = at
    section = varied[tuple(where)]
    scale = 0.0 if rng.random() < 0.3 else 2.0 ** rng.uniform(-1, 1)
    varied[tuple(where)] = section * np.float32(scale) + np.float32(rng.normal(0.0, 0.6))
    return varied
