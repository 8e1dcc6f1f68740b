"""Affinities as kernels see them: integers that order as the values do, and exact thresholds.

uint8 affinities mean value/255 and stay bytes. float32 affinities are read as their bits: for
numbers from 0 up these order as the numbers do.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.errors import AffinityError, ArgumentError

#: Steps of the fixed-point sums of float32 affinities: 2^-24 is the spacing of float32 just below 1.
FLOAT_SCALE = 2**24
ONE = np.float32(1).view(np.uint32)
MINUS_ZERO = np.float32(-0.0).view(np.uint32)
#: Below this a threshold that is not 0 cannot be compared with means exactly in 128 bits.
SMALLEST_THRESHOLD = 2.0**-30


@dataclass(frozen=True)
class AffinityType:
    """How affinities of one dtype are compared and summed.

    `scale` is the integer that an affinity of 1 is summed as.
    """

    dtype: np.dtype[Any]

    @property
    def scale(self) -> int:
        return 255 if self.dtype == np.uint8 else FLOAT_SCALE

    def at_least(self, threshold: float) -> Any:
        """The smallest weight whose affinity, as float64, is >= threshold (0 to 1)."""
        if self.dtype == np.uint8:
            return np.uint8(np.argmax(np.arange(256) / 255.0 >= threshold))
        value = np.float32(threshold)
        if float(value) < threshold:
            value = np.nextafter(value, np.float32(2))
        return value.view(np.uint32)

    def at_most(self, threshold: float) -> Any:
        """The largest weight whose affinity, as float64, is <= threshold (0 to 1)."""
        if self.dtype == np.uint8:
            return np.uint8(np.count_nonzero(np.arange(256) / 255.0 <= threshold) - 1)
        value = np.float32(threshold)
        if float(value) > threshold:
            value = np.nextafter(value, np.float32(-1))
        return value.view(np.uint32)


def affinity_type(dtype: Any) -> AffinityType:
    """The rules for a dtype; raises ArgumentError for any but uint8 and float32."""
    found = np.dtype(dtype)
    if found not in (np.dtype(np.uint8), np.dtype(np.float32)):
        raise ArgumentError(f"affinities are {found}; allowed are uint8 (value/255) and float32")
    return AffinityType(found)


def as_weights(affinities: NDArray[Any]) -> tuple[NDArray[Any], tuple[int, int, int]]:
    """Checked affinities (X, Y, Z, 3) as flat weights, x fastest, and their strides: rows, planes, channels.

    Without a copy where x is fastest, also of a part of a larger array, such as a slab of it. Raises
    AffinityError that names the first voxel, if any is NaN, infinite, below 0 or above 1.
    """
    if affinities.ndim != 4 or affinities.shape[3] != 3:
        raise ArgumentError(f"affinities have the shape {affinities.shape}; expected (X, Y, Z, 3)")
    kind = affinity_type(affinities.dtype)
    if not _is_part_of_fortran_array(affinities):
        affinities = np.asfortranarray(affinities)
    if kind.dtype == np.uint8:
        return _flat(affinities)
    weights = affinities.view(np.uint32)
    if weights.size == 0 or weights.max() <= ONE:
        return _flat(weights)
    if np.any(wrong := (weights > ONE) & (weights != MINUS_ZERO)):
        x, y, z, c = (int(i) for i in np.unravel_index(int(np.argmax(wrong.ravel(order="F"))), wrong.shape, order="F"))
        raise AffinityError((x, y, z), c, float(affinities[x, y, z, c]))
    return _flat(np.asfortranarray(np.where(weights == MINUS_ZERO, np.uint32(0), weights)))


def _is_part_of_fortran_array(array: NDArray[Any]) -> bool:
    """Whether x is fastest, then y, z and channels, perhaps with gaps behind each."""
    along_x, rows, planes, channels = (stride // array.itemsize for stride in array.strides)
    nx, ny, nz, _ = array.shape
    return bool(along_x == 1 and rows >= nx and planes >= rows * ny and channels >= planes * nz)


def _flat(array: NDArray[Any]) -> tuple[NDArray[Any], tuple[int, int, int]]:
    """The memory from an array's first element to its last, and the array's strides there."""
    rows, planes, channels = (stride // array.itemsize for stride in array.strides[1:])
    ends = ((n - 1) * step for n, step in zip(array.shape, (1, rows, planes, channels), strict=True))
    size = 1 + sum(ends) if array.size else 0
    return np.lib.stride_tricks.as_strided(array, (size,), (array.itemsize,)), (rows, planes, channels)


def exact_threshold(threshold: float, scale: int) -> tuple[int, int]:
    """Integers `numerator, shift` with threshold * scale == numerator / 2^shift, for `mean_exceeds`."""
    value = Fraction(threshold) * scale
    shift = value.denominator.bit_length() - 1
    return value.numerator, shift
