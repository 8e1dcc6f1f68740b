"""Ground truth without the voxels near its boundaries, where annotators differ by a voxel or two.

A voxel is left out when another true object, or unlabelled tissue, is within a distance in nm: the distance between
the centres of the two voxels, along all axes, with the voxels' size. Then scores say whether objects are told apart,
and not where exactly their membranes were drawn.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.box import Triple, triple


def margin_of(distance_nm: float, resolution_nm: tuple[float, float, float]) -> Triple:
    """The voxels along each axis that decide about one: what a box must be grown by."""
    return triple([math.floor(distance_nm / nm) for nm in resolution_nm])


def without_boundaries(
    truth: NDArray[Any], distance_nm: float, resolution_nm: tuple[float, float, float]
) -> NDArray[Any]:
    """Labels (X, Y, Z) with 0 where a voxel of another label lies within the distance.

    A box with `margin_of` more voxels around it decides as the whole volume does, so boxes give what the whole gives.
    """
    kept = np.ones(truth.shape, bool)
    for step in _steps(distance_nm, resolution_nm):
        here, there = _overlapping(truth.shape, step)
        differs = truth[here] != truth[there]
        kept[here] &= ~differs
        kept[there] &= ~differs
    return np.where(kept, truth, truth.dtype.type(0))


def _steps(distance_nm: float, resolution_nm: tuple[float, float, float]) -> list[Triple]:
    """All steps from a voxel to others within the distance, one of each two that are opposite."""
    reach = margin_of(distance_nm, resolution_nm)
    steps = (triple([i - r for i, r in zip(at, reach, strict=True)]) for at in np.ndindex(*(2 * r + 1 for r in reach)))
    limit = distance_nm**2
    return [
        s
        for s in steps
        if s > (0, 0, 0) and sum((i * nm) ** 2 for i, nm in zip(s, resolution_nm, strict=True)) <= limit
    ]


def _overlapping(shape: tuple[int, ...], step: Triple) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """The voxels that have a voxel at a step from them, and these."""
    here = tuple(slice(max(0, -s), max(0, n - max(0, s))) for s, n in zip(step, shape, strict=True))
    there = tuple(slice(max(0, s), max(0, n + min(0, s))) for s, n in zip(step, shape, strict=True))
    return here, there
