"""Sorting rows by two columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def order(first: NDArray[Any], then: NDArray[Any]) -> NDArray[np.int64]:
    """The order of rows by one column, then by another; rows that are equal in both come in any order.

    By the ranks of both in one number: numpy sorts one column with vectors, and `np.lexsort` two without.
    """
    return np.argsort((_ranks(first).astype(np.uint64) << np.uint64(32)) | _ranks(then))


def _ranks(values: NDArray[Any]) -> NDArray[np.uint32]:
    """The place of each value among all different ones, in their order."""
    at = np.argsort(values)
    found = values[at]
    ranks = np.empty(values.size, np.uint32)
    ranks[at] = np.cumsum(np.diff(found, prepend=found[:1]) != 0, dtype=np.uint32)
    return ranks
