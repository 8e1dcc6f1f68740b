"""How good affinities are, voxel by voxel: AUC and F1 against the labels the net was asked for.

Scores are of affinities as bytes, `round(255 a)`, which is how they are stored: 256 thresholds are all there
are, and a histogram of each class says everything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seuron.errors import PermanentError
from seuron.training.targets import NEAREST, affinity_targets, grow_boundaries, small_bodies


@dataclass(frozen=True)
class Histograms:
    """How often each byte occurs where the truth is boundary and where it is inside: `(C, 256)` each."""

    boundary: npt.NDArray[np.int64]
    inside: npt.NDArray[np.int64]

    def __add__(self, other: Histograms) -> Histograms:
        return Histograms(self.boundary + other.boundary, self.inside + other.inside)

    def auc(self) -> tuple[float, ...]:
        """Area under the ROC curve of each channel: the chance that an inside voxel has the higher affinity.

        A tie counts half. NaN where a class is absent.
        """
        below = np.cumsum(self.boundary, axis=1) - self.boundary
        wins = (self.inside * (below + 0.5 * self.boundary)).sum(axis=1, dtype=np.float64)
        pairs = self.inside.sum(axis=1, dtype=np.float64) * self.boundary.sum(axis=1, dtype=np.float64)
        return tuple(float(w / p) if p else float("nan") for w, p in zip(wins, pairs, strict=True))

    def f1(self, threshold: int) -> tuple[float, ...]:
        """F1 of each channel for finding boundaries, the rarer class, as bytes under `threshold`."""
        found = self.boundary[:, :threshold].sum(axis=1, dtype=np.float64)
        wrong = self.inside[:, :threshold].sum(axis=1, dtype=np.float64)
        every = self.boundary.sum(axis=1, dtype=np.float64)
        return tuple(float(v) for v in 2 * found / np.maximum(found + wrong + every, 1))

    def best_threshold(self) -> int:
        """The threshold with the best mean F1; choose it on a validation part, never on a test part."""
        return max(range(1, 256), key=lambda threshold: sum(self.f1(threshold)))


def affinity_histograms(
    affinities: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint32],
    minimum_body: int = 100,
    zero_is_unknown: bool = True,
) -> Histograms:
    """Compare affinities with the training target of the labels.

    Args:
        affinities: uint8 `(X, Y, Z, 3)`.
        labels: uint32 `(X, Y, Z)`; boundaries are grown by a voxel, as in training.
        minimum_body: smaller bodies are left out.
        zero_is_unknown: leave out label 0; else it is boundary.
    """
    if affinities.shape != (*labels.shape, 3) or affinities.dtype != np.uint8:
        raise PermanentError(
            f"affinities to score: got {affinities.dtype} {affinities.shape}; uint8 {(*labels.shape, 3)} "
            "fits the labels; use to_uint8"
        )
    known = ~small_bodies(labels, minimum_body)
    if zero_is_unknown:
        known &= labels != 0
    truth, mask = affinity_targets(grow_boundaries(labels), known, NEAREST)
    counts = np.zeros((2, 3, 256), np.int64)
    for channel in range(3):
        for side in range(2):
            chosen = affinities[..., channel][mask[channel] & (truth[channel] == side)]
            counts[side, channel] = np.bincount(chosen, minlength=256)
    return Histograms(counts[0], counts[1])
