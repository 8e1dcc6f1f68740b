"""Scores from a contingency table: variation of information, adapted Rand, and the worst objects.

Conventions, as in the CREMI and SNEMI3D challenges: voxels whose ground truth is 0, or an id that is reserved for what
is no object (`RESERVED_IDS`), are not counted; background of the segmentation (0) is counted as one
segment, so that leaving voxels out costs. The figures equal `variation_of_information` and `adapted_rand_error` of
scikit-image with `ignore_labels=(0,)`, except that its precision and recall are exchanged against their own description
(scikit-image issue 6485); here they are as described.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from seuron.errors import DataError
from seuron.evaluation.contingency import ContingencyTable, Counts, Ids
from seuron.storage import Storage
from seuron.storage.documents import read_document

#: -1, -2 and -3, as ids of 64 or 32 bits: marks for what is no object (not labelled, outside, to be ignored), as in
#: CREMI's volumes.
RESERVED_IDS = np.array([2**bits - mark for bits in (64, 32) for mark in (1, 2, 3)], np.uint64)
#: How many of the worst objects are listed, and how many partners of each.
WORST = 10
PARTNERS = 5
#: Where a run keeps its scores, below its output folder.
SCORES_FILE = "scores.json"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Overlap(_Model):
    """An object of the other side, and the voxels shared with it."""

    id: int
    voxels: int


class ObjectError(_Model):
    """One object and what it adds to a score: a segment that merges, or a true object that is split.

    `bits` is its share of VOI merge or VOI split; `overlaps` are the largest, at most five.
    """

    id: int
    voxels: int
    bits: float
    overlaps: list[Overlap]


class Agreement(_Model):
    """How well a segmentation agrees with ground truth, in figures."""

    voi_split: float = Field(description="bits by which true objects are cut up: H(segmentation | truth)")
    voi_merge: float = Field(description="bits by which segments join true objects: H(truth | segmentation)")
    adapted_rand_error: float = Field(description="1 - F score of voxel pairs; 0 is best")
    adapted_rand_precision: float = Field(description="pairs joined in both, of those joined in the segmentation")
    adapted_rand_recall: float = Field(description="pairs joined in both, of those joined in the truth")

    @property
    def voi(self) -> float:
        """Variation of information, split and merge together, in bits."""
        return self.voi_split + self.voi_merge


class Scores(Agreement):
    """How well a segmentation agrees with ground truth, over which voxels, and where it does not."""

    voxels: int = Field(description="voxels with ground truth, the ones that count")
    ignored_voxels: int = Field(description="voxels without ground truth, where that is 0 or a reserved id")
    background_voxels: int = Field(description="voxels with ground truth that the segmentation leaves out (0)")
    segments: int = Field(description="segments, background apart, that meet ground truth")
    truths: int = Field(description="true objects")
    worst_merges: list[ObjectError] = Field(description="segments that add most to VOI merge")
    worst_splits: list[ObjectError] = Field(description="true objects that add most to VOI split")


def scores(table: ContingencyTable) -> Scores:
    """All scores of a table; raises DataError when no voxel has ground truth."""
    if np.isin(table.segments, RESERVED_IDS).any():
        table = table.renamed(np.where(np.isin(table.segments, RESERVED_IDS), np.uint64(0), table.segments))
    counted = with_truth(table)
    segments, truths, voxels = counted.segments, counted.truths, counted.voxels
    segment_ids, segment_of = np.unique(segments, return_inverse=True)
    truth_ids, truth_of = np.unique(truths, return_inverse=True)
    overlaps = Overlaps(segment_of, truth_of, voxels)
    merge_bits, split_bits = overlaps.merge_bits / counted.total, overlaps.split_bits / counted.total
    return Scores(
        **overlaps.agreement().model_dump(),
        voxels=counted.total,
        ignored_voxels=table.total - counted.total,
        background_voxels=int(voxels[segments == 0].sum()),
        segments=int(np.count_nonzero(segment_ids)),
        truths=len(truth_ids),
        worst_merges=_worst(merge_bits, segment_ids, overlaps.segment_sizes, segments, truths, voxels),
        worst_splits=_worst(split_bits, truth_ids, overlaps.truth_sizes, truths, segments, voxels),
    )


def with_truth(table: ContingencyTable) -> ContingencyTable:
    """The rows that count: those of true objects; raises DataError when there is none."""
    counted = (table.truths != 0) & ~np.isin(table.truths, RESERVED_IDS)
    if not counted.any():
        raise DataError(
            f"none of the {table.total} voxels has ground truth (all are 0 or reserved ids, which are ignored); "
            "give a box where objects are labelled"
        )
    return ContingencyTable(table.segments[counted], table.truths[counted], table.voxels[counted])


@dataclass(frozen=True)
class Overlaps:
    """Pairs of a segment and a true object, each pair once, and the voxels that they share.

    Segments and true objects are numbers from 0 without gaps, in the order of their ids: then equal
    segmentations give equal figures to the last bit.
    """

    segment_of: NDArray[np.intp]
    truth_of: NDArray[np.intp]
    voxels: Counts

    @cached_property
    def segment_sizes(self) -> Counts:
        return _sums(self.segment_of, self.voxels)

    @cached_property
    def truth_sizes(self) -> Counts:
        return _sums(self.truth_of, self.voxels)

    @cached_property
    def merge_bits(self) -> NDArray[np.float64]:
        """Each segment's share of VOI merge, times all voxels."""
        return _entropies(self.voxels, self.segment_of, self.segment_sizes)

    @cached_property
    def split_bits(self) -> NDArray[np.float64]:
        """Each true object's share of VOI split, times all voxels."""
        return _entropies(self.voxels, self.truth_of, self.truth_sizes)

    def agreement(self) -> Agreement:
        total = int(self.voxels.sum())
        error, precision, recall = _adapted_rand(self.voxels, self.segment_sizes, self.truth_sizes)
        return Agreement(
            voi_split=float(self.split_bits.sum() / total),
            voi_merge=float(self.merge_bits.sum() / total),
            adapted_rand_error=error,
            adapted_rand_precision=precision,
            adapted_rand_recall=recall,
        )


def _sums(groups: NDArray[np.intp], voxels: Counts) -> Counts:
    sums = np.zeros(int(groups.max()) + 1, np.int64)
    np.add.at(sums, groups, voxels)
    return sums


def _entropies(voxels: Counts, groups: NDArray[np.intp], sizes: Counts) -> NDArray[np.float64]:
    """For each group: bits of the choice among its parts, times its voxels."""
    parts = voxels * np.log2(sizes[groups] / voxels)
    return np.bincount(groups, weights=parts, minlength=len(sizes)).astype(np.float64, copy=False)


def _adapted_rand(voxels: Counts, segment_sizes: Counts, truth_sizes: Counts) -> tuple[float, float, float]:
    """Error, precision, recall over pairs of different voxels.

    Where there are no pairs at all (every object is one voxel), none is wrong: precision and recall are 1.
    """
    both, in_segments, in_truths = (_pairs(counts) for counts in (voxels, segment_sizes, truth_sizes))
    precision = both / in_segments if in_segments else 1.0
    recall = both / in_truths if in_truths else 1.0
    pairs = in_segments + in_truths
    return (1.0 - 2.0 * both / pairs if pairs else 0.0), precision, recall


def _pairs(counts: Counts) -> float:
    # As floats: a body of 10^10 voxels has more pairs than int64 holds. Not as a dot product, which
    # takes threads whose number decides the last bit, and 3 ms to start them.
    sizes = counts.astype(np.float64)
    return float((sizes * (sizes - 1.0)).sum())


def _worst(bits: NDArray[np.float64], ids: Ids, sizes: Counts, owners: Ids, partners: Ids, voxels: Counts) -> list[Any]:
    """The objects with most bits, worst first (the smaller id where equal), those without any left out."""
    order = np.lexsort((ids, -bits))[:WORST]
    found = []
    for index in order[bits[order] > 0]:
        mine = owners == ids[index]
        shared, others = voxels[mine], partners[mine]
        largest = np.lexsort((others, -shared))[:PARTNERS]
        found.append(
            ObjectError(
                id=int(ids[index]),
                voxels=int(sizes[index]),
                bits=float(bits[index]),
                overlaps=[Overlap(id=int(others[i]), voxels=int(shared[i])) for i in largest],
            )
        )
    return found


def write_scores(storage: Storage, found: Scores) -> None:
    """Keep the scores of a run as `scores.json` in its folder."""
    storage.put(SCORES_FILE, found.model_dump_json(indent=1).encode())


def read_scores(storage: Storage) -> Scores | None:
    """The scores of a run; None when it has not been scored."""
    return read_document(storage, SCORES_FILE, Scores, "do the run's stage `evaluation` again, which makes it")
