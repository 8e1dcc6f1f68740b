"""Rows of tables that are kept column by column: their order, and some of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The largest number of 32 bits.
LARGEST = 0xFFFFFFFF


def order(first: NDArray[Any], then: NDArray[Any]) -> NDArray[np.int64]:
    """The order of rows by one column, then by another; rows that are equal in both come in any order.

    By both in one number: numpy sorts one column with vectors, and `np.lexsort` two without.
    """
    return np.argsort((_half(first).astype(np.uint64) << np.uint64(32)) | _half(then))


def taken(columns: Iterable[NDArray[Any]], rows: NDArray[np.bool_] | NDArray[np.int64]) -> Iterator[NDArray[Any]]:
    """Some rows of each column: those that are marked, or those with these numbers. Indexing takes twice as long."""
    numbers = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
    return (np.take(column, numbers, axis=0) for column in columns)


def _half(values: NDArray[Any]) -> NDArray[np.uint32]:
    """Numbers of 32 bits in the order of the values: these themselves, or else their ranks."""
    if values.size == 0 or (values.min() >= 0 and values.max() <= LARGEST):
        return values.astype(np.uint32)
    at = np.argsort(values)
    found = values[at]
    ranks = np.empty(values.size, np.uint32)
    ranks[at] = np.cumsum(np.diff(found, prepend=found[:1]) != 0, dtype=np.uint32)
    return ranks
