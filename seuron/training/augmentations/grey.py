"""Grey values of another microscope: brightness, contrast, gamma, noise; planes of another contrast. Labels stay."""

from __future__ import annotations

import numpy as np

from seuron.training.augmentations.labelled_patch import Grey


def vary_grey(image: Grey, rng: np.random.Generator) -> Grey:
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


def recontrast_plane(image: Grey, rng: np.random.Generator) -> Grey:
    """A plane of another contrast, or none at all, along one axis: the net learns to bridge what is missing."""
    varied = image.copy()
    axis, at = int(rng.integers(3)), int(rng.integers(min(image.shape)))
    where: list[slice | int] = [slice(None)] * 3
    where[axis] = at
    section = varied[tuple(where)]
    scale = 0.0 if rng.random() < 0.3 else 2.0 ** rng.uniform(-1, 1)
    varied[tuple(where)] = section * np.float32(scale) + np.float32(rng.normal(0.0, 0.6))
    return varied
