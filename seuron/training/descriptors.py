"""Local shape descriptors (Sheridan et al. 2022): where a body lies around each of its voxels, as auxiliary targets.

Ten numbers a voxel, of the body's voxels seen through a Gaussian around it: the offset of their mean (3), their
variances (3), the correlations xy, xz, yz (3), and how much of the Gaussian they fill (1); all from 0 to 1.
A net that has to give them cannot do with the grey values of a membrane alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects, gaussian_filter

from seuron.nets.network import DESCRIPTORS

#: Descriptors are computed on every second voxel of axes that the Gaussian is wide along: they are smooth.
STEP = 2
#: Where a Gaussian is cut off, in standard deviations.
TRUNCATE = 2.5
_PAIRS = ((0, 1), (0, 2), (1, 2))

Floats = npt.NDArray[np.float32]


def shape_descriptors(
    labels: npt.NDArray[np.uint32], resolution: tuple[float, float, float], sigma_nm: float
) -> Floats:
    """The descriptors of every voxel's body.

    Args:
        labels: `(X, Y, Z)`; 0 is no body.
        resolution: nm of a voxel.
        sigma_nm: of the Gaussian.

    Returns:
        float32 `(10, X, Y, Z)`, 0 where there is no body.
    """
    sigma = [sigma_nm / nm for nm in resolution]
    steps = [STEP if wide >= 2 * STEP else 1 for wide in sigma]
    coarse = labels[tuple(slice(None, None, step) for step in steps)]
    reduced = [wide / step for wide, step in zip(sigma, steps, strict=True)]
    found = np.zeros((DESCRIPTORS, *coarse.shape), np.float32)
    _, inverse = np.unique(coarse, return_inverse=True)
    numbered = inverse.reshape(coarse.shape).astype(np.int32) + 1
    for number, box in enumerate(find_objects(numbered), 1):
        if box is None or not coarse[box][numbered[box] == number][0]:
            continue
        body = numbered[box] == number
        found[(slice(None), *box)][:, body] = _described(body, reduced)[:, body]
    for axis, step in enumerate(steps):
        found = np.repeat(found, step, axis + 1)
    x, y, z = labels.shape
    described: Floats = found[:, :x, :y, :z] * (labels != 0)
    return described


def _described(body: npt.NDArray[np.bool_], sigma: list[float]) -> Floats:
    """The descriptors of one body, `(10, X, Y, Z)`, in the box that holds it; right at its own voxels."""
    mass = _smoothed(body.astype(np.float32), sigma)
    mass = np.maximum(mass, 1e-6)
    # Places in standard deviations from the box's middle, so that squares stay small in float32.
    places = np.meshgrid(
        *(
            (np.arange(side, dtype=np.float32) - side / 2) / np.float32(wide)
            for side, wide in zip(body.shape, sigma, strict=True)
        ),
        indexing="ij",
        sparse=True,
    )
    means = [_smoothed(body * place, sigma) / mass for place in places]
    spread = {
        (a, b): _smoothed(body * places[a] * places[b], sigma) / mass - means[a] * means[b]
        for a, b in [(0, 0), (1, 1), (2, 2), *_PAIRS]
    }
    offsets = [0.5 + 0.5 * (mean - place) for mean, place in zip(means, places, strict=True)]
    variances = [spread[axis, axis] for axis in range(3)]
    correlations = [
        0.5 + 0.5 * spread[a, b] / np.sqrt(np.maximum(spread[a, a] * spread[b, b], 1e-6)) for a, b in _PAIRS
    ]
    described: Floats = np.stack([*offsets, *variances, *correlations, mass]).astype(np.float32)
    return np.clip(described, 0.0, 1.0)


def _smoothed(values: npt.NDArray[np.float32], sigma: list[float]) -> Floats:
    found: Floats = gaussian_filter(values, sigma, mode="constant", truncate=TRUNCATE)
    return found
