"""Sweeps: what agglomeration at other thresholds, or by other rules, would have made of a run's supervoxels.

A merge tree holds the result of every threshold above its lowest one. Going down its joins, the sizes
of the clusters and their table of voxels shared with ground truth are contracted from threshold to
threshold; supervoxels were counted once, by the run, so no voxel is read.

Other rules than the run's make another merge tree, from the run's region graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from abiss_py import MergeTree
from seuron.errors import ParameterErrors
from seuron.evaluation import Agreement, ContingencyTable, Overlaps, with_truth
from seuron.evaluation.volumes import evaluation_box, evaluation_table, labels_like
from seuron.pipelines.segmentation.analysis.named_rules import OWN_RULES, Rules, check_rules
from seuron.pipelines.segmentation.analysis.stored_graph import (
    Int64s,
    Reagglomeration,
    Supervoxels,
    merge_tree,
    supervoxels,
)
from seuron.pipelines.segmentation.facts import SegmentationRun
from seuron.pipelines.segmentation.stages.evaluation import supervoxel_table
from seuron.storage import cloud_path
from seuron.volumes import open_volume

#: Segments of fewer voxels count as small: (0.2 um)^3 at 10 nm, too little to follow a neurite through.
SMALL = 10_000
#: Below this a threshold that is not 0 cannot be compared exactly.
SMALLEST_THRESHOLD = 2.0**-30


@dataclass(frozen=True)
class Variant:
    """A way to agglomerate: its name, and the merge tree that it made.

    `thresholds` are those that the tree holds for, where these are not all from its lowest. Rules that
    depend on the threshold make several trees, each a variant of the same name.
    """

    name: str
    tree: MergeTree
    thresholds: tuple[float, ...] | None = None


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class SegmentSizes(_Model):
    """How large segments are, background left out."""

    segments: int
    largest: int = Field(description="voxels of the largest segment; 0 when there is none")
    n50: int = Field(description="segments of at least this many voxels hold half of all that are in segments")
    small_share: float = Field(description="share of the voxels in segments that are in small ones")


class SweepPoint(_Model):
    """What one variant gives at one threshold; `agreement` where there is ground truth."""

    variant: str
    threshold: float
    joins: int
    sizes: SegmentSizes
    agreement: Agreement | None


class Sweep(_Model):
    """All points of a sweep, by variant and then threshold, ascending."""

    run: str = Field(description="the run's folder")
    ground_truth: str | None
    own_threshold: float = Field(description="the run's own threshold; always one of those swept")
    own_variant: str | None = Field(description="the variant with the run's own rules, where there is one")
    small: int = Field(description="segments of fewer voxels count as small")
    points: tuple[SweepPoint, ...]

    @property
    def variants(self) -> list[str]:
        return list(dict.fromkeys(point.variant for point in self.points))

    @property
    def thresholds(self) -> list[float]:
        return sorted({point.threshold for point in self.points})

    @property
    def own(self) -> SweepPoint | None:
        """What the run itself made; None where its own rules are not among those swept."""
        own = (self.own_variant, self.own_threshold)
        return next((p for p in self.points if (p.variant, p.threshold) == own), None)

    @property
    def best(self) -> dict[str, SweepPoint]:
        """The best point by each score; empty without ground truth.

        Where several are equal, that with the highest threshold, and of these the first variant's.
        """
        scored = [(point.agreement, point) for point in self.points if point.agreement is not None]
        if not scored:
            return {}
        return {
            score: min(scored, key=lambda pair: (getattr(pair[0], score), -pair[1].threshold))[1]
            for score in ("voi", "adapted_rand_error")
        }


def sweep_run(
    run: SegmentationRun,
    thresholds: Sequence[float],
    *,
    rules: Mapping[str, Rules] | None = None,
    ground_truth: str | None = None,
    small: int = SMALL,
) -> Sweep:
    """Sweep a finished run over thresholds (affinities, 0 to 1), its own among them, and lists of rules by name.

    Without `rules` they are the run's own, called `run`. Scores are against the run's ground truth, from
    the tables of its evaluation. With another `ground_truth`, the path of precomputed labels, its voxels
    and the supervoxels are read once.
    Raises ParameterErrors for thresholds that cannot be and for rules that look at what the run did not
    count, RunError when the run has not come so far.
    """
    wrong = [t for t in thresholds if not (t == 0 or SMALLEST_THRESHOLD <= t <= 1)]
    if wrong:
        raise ParameterErrors([f"thresholds: got {threshold}; allowed are 0 and 2^-30 to 1" for threshold in wrong])
    named = {OWN_RULES: run.params.rules} if rules is None else rules
    check_rules(run, named)
    own = run.params.agglomeration_threshold
    swept = sorted({*thresholds, own})
    truth = cloud_path(ground_truth) if ground_truth is not None else _own_truth(run)
    return Sweep(
        run=run.output,
        ground_truth=truth,
        own_threshold=own,
        own_variant=next((name for name, others in named.items() if others == run.params.rules), None),
        small=small,
        points=sweep(_variants(run, named, swept), swept, supervoxels(run), _table(run, truth), small),
    )


def _variants(run: SegmentationRun, named: Mapping[str, Rules], swept: Sequence[float]) -> Iterator[Variant]:
    """The merge trees of lists of rules, one after the other: one for all thresholds, or one for each."""
    again = Reagglomeration(run)
    for name, rules in named.items():
        own = rules == run.params.rules
        if any(rule.depends_on_threshold for rule in rules):
            for threshold in swept:
                stored = own and threshold == run.params.agglomeration_threshold
                tree = merge_tree(run, threshold) if stored else again.tree(rules, threshold)
                yield Variant(name, tree, (threshold,))
        else:
            yield Variant(name, merge_tree(run, swept[0]) if own else again.tree(rules, swept[0]))


def sweep(
    variants: Iterable[Variant],
    thresholds: Sequence[float],
    parts: Supervoxels,
    table: ContingencyTable | None,
    small: int = SMALL,
) -> tuple[SweepPoint, ...]:
    """Every variant at every threshold that it holds for.

    `table` counts (supervoxel, truth) pairs where there is ground truth.
    """
    return tuple(
        point for variant in variants for point in reversed(list(_going_down(variant, thresholds, parts, table, small)))
    )


def _going_down(
    variant: Variant, thresholds: Sequence[float], parts: Supervoxels, table: ContingencyTable | None, small: int
) -> Iterator[SweepPoint]:
    """A variant's points from the highest threshold to the lowest, each made from the one before."""
    made, ids, voxels = 0, parts.ids, parts.voxels
    shared = None if table is None else _numbered(with_truth(table), ids)
    held = set(thresholds if variant.thresholds is None else variant.thresholds)
    for threshold in sorted(held.intersection(thresholds), reverse=True):
        joins = variant.tree.above(threshold)
        called = variant.tree.names(made, joins).follow(ids)
        kept = ids[called == ids]
        number = np.searchsorted(kept, called)
        total = np.zeros(kept.size, np.int64)
        np.add.at(total, number, voxels)
        made, ids, voxels = joins, kept, total
        if shared is not None:
            shared = shared.renamed(number[shared.segments].astype(np.uint64))
        yield SweepPoint(
            variant=variant.name,
            threshold=threshold,
            joins=joins,
            sizes=segment_sizes(voxels[ids > 0], small),
            agreement=None if shared is None else _agreement(shared),
        )


def _numbered(table: ContingencyTable, ids: Int64s) -> ContingencyTable:
    """The table with numbers for ids: segments by their row in `ids`, true objects without gaps."""
    _, truth_of = np.unique(table.truths, return_inverse=True)
    segment_of = np.searchsorted(ids, table.segments.astype(np.int64))
    return ContingencyTable(segment_of.astype(np.uint64), truth_of.astype(np.uint64), table.voxels)


def _agreement(table: ContingencyTable) -> Agreement:
    """The figures of a table whose true objects are numbers without gaps, and whose rows are sorted by segment."""
    begins = np.concatenate([[0], table.segments[1:] != table.segments[:-1]])
    return Overlaps(np.cumsum(begins), table.truths.astype(np.intp), table.voxels).agreement()


def segment_sizes(voxels: Int64s, small: int) -> SegmentSizes:
    """The sizes of segments, one entry of `voxels` each, in figures."""
    largest_first = np.sort(voxels)[::-1]
    total = int(voxels.sum())
    if total == 0:
        return SegmentSizes(segments=0, largest=0, n50=0, small_share=0.0)
    half = np.searchsorted(2 * np.cumsum(largest_first), total)
    return SegmentSizes(
        segments=voxels.size,
        largest=int(largest_first[0]),
        n50=int(largest_first[half]),
        small_share=float(voxels[voxels < small].sum() / total),
    )


def _own_truth(run: SegmentationRun) -> str | None:
    return None if run.params.ground_truth is None else cloud_path(run.params.ground_truth)


def _table(run: SegmentationRun, truth: str | None) -> ContingencyTable | None:
    """The voxels that each supervoxel shares with each true object."""
    if truth is None:
        return None
    if truth == _own_truth(run):
        return supervoxel_table(run)
    layer = open_volume(run.layer("supervoxels"))
    labels = labels_like(layer, truth)
    return evaluation_table(layer, labels, evaluation_box(layer, labels))
