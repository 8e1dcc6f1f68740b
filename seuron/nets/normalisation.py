"""The scale between stored grey values and what the net sees.

The scale belongs to the run, never to the chunk or the patch: a patch normalised by its own
content would give different affinities for the same voxel in different patches, and seams.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seuron.errors import PermanentError


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


def measure_normalisation(sample: npt.NDArray[np.uint8]) -> Normalisation:
    """The scale of a run, from a sample of its image; call it once and keep the answer.

    Grey value 0 is taken for masked or missing, and the darkest and brightest percent are cut off, so that
    black borders, charging and dirt do not move the scale.

    Args:
        sample: uint8, any shape; some millions of voxels from all over the volume are plenty.

    Raises:
        PermanentError: every voxel is 0, or all are equal.
    """
    counts = np.bincount(sample.ravel(order="K"), minlength=256).astype(np.float64)
    counts[0] = 0
    total = counts.sum()
    if total == 0:
        raise PermanentError("image normalisation: every voxel of the sample is 0; sample where there is tissue")
    below = np.cumsum(counts) / total
    counts[(below < 0.01) | (below - counts / total > 0.99)] = 0
    values = np.arange(256)
    mean = float((counts * values).sum() / counts.sum())
    std = float(np.sqrt((counts * (values - mean) ** 2).sum() / counts.sum()))
    if std == 0:
        raise PermanentError(f"image normalisation: every voxel of the sample is {mean:.0f}; is this an image?")
    return Normalisation(mean, std)
