"""What each segment of an array of labels has: voxels, sums of coordinates, box; and a voxel near its centre.

Sums are whole numbers, so those of parts add up to those of the whole, whatever the parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.errors import ArgumentError
from abiss_py.kernels import segments as kernel

Int64s = NDArray[np.int64]
Triple = tuple[int, int, int]


@dataclass(frozen=True)
class SegmentSums:
    """A row for each segment, ids ascending; 0 is none.

    `ids` are uint64; `voxels` and `sums` (N, 3), of the voxels' coordinates, add up over parts of a volume; `least` and
    `ends` (N, 3) are the corners of the box, the end not included.
    """

    ids: NDArray[np.uint64]
    voxels: Int64s
    sums: Int64s
    least: Int64s
    ends: Int64s


@dataclass(frozen=True)
class NearestVoxels:
    """For each of some segments a voxel (N, 3), and the square of its distance to the segment's centre."""

    squares: NDArray[np.float64]
    voxels: Int64s


def segment_sums(labels: NDArray[Any], low: Triple = (0, 0, 0)) -> SegmentSums:
    """Of labels (X, Y, Z), unsigned integers, whose first voxel has the coordinates `low`."""
    ids, rows = kernel.count_segments(checked_labels(labels), low)
    order = np.argsort(ids)
    rows = rows[order]
    parts = (rows[:, begin : begin + 3] for begin in (kernel.SUM, kernel.LEAST, kernel.END))
    return SegmentSums(ids[order], rows[:, kernel.VOXELS], *parts)


def nearest_voxels(
    labels: NDArray[Any],
    ids: NDArray[np.uint64],
    centres: NDArray[np.float64],
    size: tuple[float, float, float],
    low: Triple = (0, 0, 0),
) -> NearestVoxels:
    """For each segment the voxel of `labels` that is nearest to its centre; of several the first by x, then y, then z.

    Args:
        labels: (X, Y, Z), unsigned integers; every one but 0 must be in `ids`.
        ids: uint64, no two equal, each of a segment that is in `labels`.
        centres: (N, 3), in voxels: whole numbers are the middles of voxels.
        size: of a voxel along x, y, z, in any unit; distances are in that unit.
        low: the coordinates of the first voxel.
    """
    squares, voxels = np.full(ids.size, np.inf), np.zeros((ids.size, 3), np.int64)
    kernel.nearest_voxels(checked_labels(labels), low, ids, np.ascontiguousarray(centres), size, squares, voxels)
    return NearestVoxels(squares, voxels)


def checked_labels(labels: NDArray[Any]) -> NDArray[Any]:
    """Labels as kernels take them: (X, Y, Z), uint64, Fortran order; raises ArgumentError for others."""
    if labels.ndim != 3 or labels.dtype.kind != "u":
        raise ArgumentError(
            f"labels are {labels.dtype} of the shape {labels.shape}; expected are unsigned integers (X, Y, Z)"
        )
    return np.asfortranarray(labels, np.uint64)
