"""Comparing means exactly: fractions of 64-bit integers, through 128-bit products."""

from __future__ import annotations

from typing import Any

import numpy as np

from abiss_py.kernels import compiled

LOW_HALF = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
#: float64 holds every integer up to here, so that quotients of such integers order as the fractions do.
EXACT_IN_FLOAT = 2**53


@compiled
def product(a: int, b: int) -> tuple[np.uint64, np.uint64]:
    """The 128-bit product of two non-negative integers, as (high, low) halves."""
    a_high, a_low = np.uint64(a) >> HALF, np.uint64(a) & LOW_HALF
    b_high, b_low = np.uint64(b) >> HALF, np.uint64(b) & LOW_HALF
    low = a_low * b_low
    middle = a_high * b_low + (low >> HALF)
    other = a_low * b_high + (middle & LOW_HALF)
    return a_high * b_high + (middle >> HALF) + (other >> HALF), (other << HALF) | (low & LOW_HALF)


@compiled
def compare_means(total_a: int, count_a: int, total_b: int, count_b: int) -> int:
    """1, 0 or -1: total_a / count_a is above, equal to or below total_b / count_b."""
    if total_a < EXACT_IN_FLOAT and total_b < EXACT_IN_FLOAT:
        mean_a, mean_b = total_a / count_a, total_b / count_b
        if mean_a != mean_b:  # rounding never swaps two fractions, it can only make them equal
            return 1 if mean_a > mean_b else -1
    high_a, low_a = product(total_a, count_b)
    high_b, low_b = product(total_b, count_a)
    if high_a != high_b:
        return 1 if high_a > high_b else -1
    if low_a != low_b:
        return 1 if low_a > low_b else -1
    return 0


@compiled
def mean_exceeds(total: Any, count: Any, numerator: int, shift: int) -> Any:
    """Whether total / count > numerator / 2^shift."""
    high, low = product(numerator, count)
    if shift >= 64:
        floor = high >> np.uint64(shift - 64) if shift > 64 else high
        return np.uint64(total) > floor
    if shift > 0:
        if high >> np.uint64(shift) != 0:
            return False
        floor = (high << np.uint64(64 - shift)) | (low >> np.uint64(shift))
    else:
        if high != 0:
            return False
        floor = low
    return np.uint64(total) > floor
