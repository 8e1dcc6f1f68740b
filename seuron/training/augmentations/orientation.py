"""Flips and quarter turns: of voxels 8x8x40 nm the paper's 16, of cubic ones all 48."""

from __future__ import annotations

from itertools import permutations
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from seuron.box import Triple
from seuron.training.augmentations.labelled_patch import LabelledPatch

Scalar = TypeVar("Scalar", bound=np.generic)


class Orientation:
    """A flip and a permutation of equal axes, applied alike to image, labels and mask."""

    extra: Triple = (0, 0, 0)

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

    def turned(self, array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """The array `(X, Y, Z)` in the new orientation, a view."""
        return np.flip(array.transpose(self.axes), self.flips)

    def apply(self, patch: LabelledPatch) -> LabelledPatch:
        """All three arrays in the new orientation."""
        return LabelledPatch(self.turned(patch.image), self.turned(patch.labels), self.turned(patch.known))
