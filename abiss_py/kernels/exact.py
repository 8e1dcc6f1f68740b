"""Comparing means exactly: fractions of 64-bit integers, through 128-bit products."""

from __future__ import annotations

from typing import Any

import numpy as np

from abiss_py.kernels import compiled

LOW_HALF = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
ONE = np.uint64(1)
#: float64 holds every integer up to here, so that quotients of such integers order as the fractions do.
EXACT_IN_FLOAT = 2**53


@compiled
def product(a: Any, b: Any) -> tuple[np.uint64, np.uint64]:
    """The 128-bit product of two non-negative integers, as (high, low) halves."""
    a_high, a_low = np.uint64(a) >> HALF, np.uint64(a) & LOW_HALF
    b_high, b_low = np.uint64(b) >> HALF, np.uint64(b) & LOW_HALF
    low = a_low * b_low
    middle = a_high * b_low + (low >> HALF)
    other = a_low * b_high + (middle & LOW_HALF)
    return a_high * b_high + (middle >> HALF) + (other >> HALF), (other << HALF) | (low & LOW_HALF)


@compiled
def compare_products(a: Any, b: Any, c: Any, d: Any) -> Any:
    """1, 0 or -1: a * b is above, equal to or below c * d, all of them from 0 to 2^63 - 1."""
    high, low = product(a, b)
    other_high, other_low = product(c, d)
    if high != other_high:
        return 1 if high > other_high else -1
    if low != other_low:
        return 1 if low > other_low else -1
    return 0


@compiled
def compare_means(total_a: Any, count_a: Any, total_b: Any, count_b: Any) -> Any:
    """1, 0 or -1: total_a / count_a is above, equal to or below total_b / count_b."""
    if total_a < EXACT_IN_FLOAT and total_b < EXACT_IN_FLOAT:
        mean_a, mean_b = total_a / count_a, total_b / count_b
        if mean_a != mean_b:  # rounding never swaps two fractions, it can only make them equal
            return 1 if mean_a > mean_b else -1
    return compare_products(total_a, count_b, total_b, count_a)


@compiled
def _scaled(count: Any, numerator: Any, shift: Any) -> tuple[np.uint64, np.uint64, bool]:
    """count * numerator / 2^shift: the whole part as (high, low) halves, and whether a fraction is left."""
    high, low = product(numerator, count)
    if shift >= 64:
        bits = np.uint64(shift - 64)
        left = (low != 0) or ((high & ((ONE << bits) - ONE)) != 0)
        return np.uint64(0), high >> bits, left
    if shift > 0:
        bits = np.uint64(shift)
        left = (low & ((ONE << bits) - ONE)) != 0
        return high >> bits, (high << np.uint64(64 - shift)) | (low >> bits), left
    return high, low, False


@compiled
def mean_exceeds(total: Any, count: Any, numerator: Any, shift: Any) -> Any:
    """Whether total / count > numerator / 2^shift, for a shift below 128."""
    high, low, _ = _scaled(count, numerator, shift)
    return high == 0 and np.uint64(total) > low


@compiled
def mean_below(total: Any, count: Any, numerator: Any, shift: Any) -> Any:
    """Whether total / count < numerator / 2^shift, for a shift below 128."""
    high, low, left = _scaled(count, numerator, shift)
    return high != 0 or np.uint64(total) < low or (left and np.uint64(total) == low)
