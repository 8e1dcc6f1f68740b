"""Contingency tables: how many voxels each segment shares with each true object.

A table is a sum over voxels, so the table of a volume is the sum of the tables of any boxes that
cover it (the law that lets a task count one box). Ids are 64-bit and need not be dense.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.errors import DataError

Ids = NDArray[np.uint64]
Counts = NDArray[np.int64]

#: Labels with a sign may be this far below 0: such marks are the highest 64-bit ids (`scores.RESERVED_IDS`).
LOWEST_MARK = -3
#: Pairs whose ids are both below this are sorted as one 64-bit number, which numpy does with vector instructions.
HALF_WORD = 1 << 32


@dataclass(frozen=True)
class ContingencyTable:
    """Pairs (segment, truth) that share voxels, and how many. The segments may be supervoxels.

    Three arrays of equal length, sorted by segment and then truth, each pair once, every count
    above 0. `segments` and `truths` are uint64 ids, 0 included; `voxels` is int64.
    """

    segments: Ids
    truths: Ids
    voxels: Counts

    @classmethod
    def empty(cls) -> ContingencyTable:
        return cls(np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.int64))

    @property
    def total(self) -> int:
        """How many voxels were counted."""
        return int(self.voxels.sum())

    def renamed(self, segments: Ids) -> ContingencyTable:
        """The table under other ids: a new one for each row. Rows that are now one pair are added up."""
        return _summed(segments, self.truths, self.voxels)

    def columns(self, labels: str) -> dict[str, NDArray[Any]]:
        """The table as named columns, for `seuron.storage.tables.write_table`; `labels` says what was counted."""
        return {labels: self.segments, "truth": self.truths, "voxels": self.voxels}

    @classmethod
    def from_columns(cls, columns: dict[str, NDArray[Any]], labels: str) -> ContingencyTable:
        """What `columns` gave, read back."""
        return cls(
            columns[labels].astype(np.uint64, copy=False),
            columns["truth"].astype(np.uint64, copy=False),
            columns["voxels"].astype(np.int64, copy=False),
        )


def contingency(segmentation: NDArray[Any], truth: NDArray[Any]) -> ContingencyTable:
    """The table of two label arrays of one shape, any unsigned integers, or signed ones from -3 up.

    Runs of equal pairs along the first axis in memory become one entry before anything is sorted:
    labels are smooth, so that leaves a tenth of the work or less. 55 to 110 Mvox/s on a core for
    FIB-25 (30 to 47 with ids above 2^32), 5 for noise. Raises DataError for different shapes or ids
    that are not integers.
    """
    if segmentation.shape != truth.shape:
        raise DataError(
            f"segmentation and ground truth must have one shape, got {segmentation.shape} and {truth.shape}; "
            "cut both to the same box"
        )
    if segmentation.size == 0:
        return ContingencyTable.empty()
    for name, labels in (("segmentation", segmentation), ("ground truth", truth)):
        if labels.dtype.kind not in "ui":
            raise DataError(
                f"the {name} must hold integer ids, got {labels.dtype}; give a layer of labels, not an image"
            )
    # Any order will do, but it must be the same for both, and copying is to be avoided.
    c_order = segmentation.flags.c_contiguous and truth.flags.c_contiguous
    segments = segmentation.ravel(order="C" if c_order else "F")
    truths = truth.ravel(order="C" if c_order else "F")
    change = segments[1:] != segments[:-1]
    change |= truths[1:] != truths[:-1]
    starts = np.concatenate([[0], np.flatnonzero(change) + 1])
    lengths = np.diff(starts, append=segments.size)
    return _summed(_ids(segments[starts], "segmentation"), _ids(truths[starts], "ground truth"), lengths)


def merge(tables: Iterable[ContingencyTable]) -> ContingencyTable:
    """The sum of tables: the table of all their voxels together."""
    parts = list(tables)
    if not parts:
        return ContingencyTable.empty()
    return _summed(
        np.concatenate([part.segments for part in parts]),
        np.concatenate([part.truths for part in parts]),
        np.concatenate([part.voxels for part in parts]),
    )


def _ids(labels: NDArray[Any], name: str) -> Ids:
    if labels.dtype.kind == "i" and labels.min() < LOWEST_MARK:
        raise DataError(
            f"the {name} holds the negative id {labels.min()}; ids are 0 (nothing) or above, and -1 to {LOWEST_MARK} "
            "mark what is no object"
        )
    return labels.astype(np.uint64, copy=False)


def _summed(segments: Ids, truths: Ids, voxels: Counts) -> ContingencyTable:
    """Sort pairs and add up the voxels of equal ones."""
    if segments.size == 0:
        return ContingencyTable.empty()
    segment_ids, segment_numbers = _numbered(segments)
    truth_ids, truth_numbers = _numbered(truths)
    keys = segment_numbers << np.uint64(32) | truth_numbers
    # Stable, because timsort uses the order that labels have along a volume: 4x faster than the default here.
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.concatenate([[0], np.flatnonzero(keys[1:] != keys[:-1]) + 1])
    segment_numbers, truth_numbers = keys[first] >> np.uint64(32), keys[first] & np.uint64(HALF_WORD - 1)
    return ContingencyTable(
        segment_numbers if segment_ids is None else segment_ids[segment_numbers],
        truth_numbers if truth_ids is None else truth_ids[truth_numbers],
        np.add.reduceat(voxels[order], first),
    )


def _numbered(ids: Ids) -> tuple[Ids | None, Ids]:
    """Ids as numbers below 2^32 that sort the same way, and the ids they stand for (None: themselves)."""
    if ids.max() < HALF_WORD:
        return None, ids
    known, numbers = np.unique(ids, return_inverse=True)
    return known, numbers.astype(np.uint64)
