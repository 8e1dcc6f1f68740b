"""What the report of a segmentation shows beside what all reports have: scores, sizes of segments, rules."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import numpy as np

from seuron.engine.sections import Figure, Section
from seuron.errors import SeuronError
from seuron.evaluation import Scores, compared_text, read_scores
from seuron.pipelines.segmentation.analysis import veto_counts
from seuron.pipelines.segmentation.facts import SegmentationRun
from seuron.pipelines.segmentation.model_thresholds import threshold_notes
from seuron.pipelines.segmentation.plausibility import input_warnings, result_warnings
from seuron.pipelines.segmentation.segment_sizes import Sizes, segment_sizes
from seuron.pipelines.segmentation.size_histogram import size_histogram
from seuron.pipelines.stages.predict.report import prediction_sections
from seuron.reporting import quantities
from seuron.reporting.page_templates import environment
from seuron.reporting.plots import score_picture
from seuron.volumes import open_volume

#: Segments that are listed.
LARGEST = 8


def sections(run: SegmentationRun) -> list[Section]:
    """Warnings of the input, scores, sizes and rules, as far as there are any."""
    net = prediction_sections(run, "affinities")
    return [*_input(run), *_scores(run), *_sizes(run), *_rules(run), *net, *_thresholds(run)]


def _thresholds(run: SegmentationRun) -> Iterator[Section]:
    """Which thresholds are those of the net; none where it says none."""
    for note in threshold_notes(run.params):
        yield Section("Thresholds", f"<p>{escape(note)}</p>", sentences=(note,))


def _input(run: SegmentationRun) -> Iterator[Section]:
    try:
        warnings = input_warnings(run.params, run.facts)
    except (SeuronError, OSError):
        return  # the input may be gone, or out of reach from here
    if warnings:
        yield Section(alerts=tuple(warnings))


def _html(template: str, **values: Any) -> str:
    return environment("seuron.pipelines.segmentation").get_template(template).render(values)


def _scores(run: SegmentationRun) -> Iterator[Section]:
    if run.params.ground_truth is None:
        return
    scores = read_scores(run.storage)
    if scores is None:
        yield Section(alerts=("Ground truth is given, but there are no scores yet.",))
        return
    compared = _compared(run)
    html = _html("scores.html.j2", scores=scores, ground_truth=run.params.ground_truth, compared=compared)
    yield Section(
        "Scores against ground truth",
        html,
        _score_figures(scores),
        sentences=(_scored(scores), *([compared] if compared else [])),
        pictures={"scores": lambda: score_picture(scores)},
        place="before stages",
    )


def _compared(run: SegmentationRun) -> str:
    """How much of the run and of its labels was compared; empty where the labels are out of reach."""
    try:
        truth = open_volume(run.params.ground_truth or "", run.params.mip)
    except SeuronError:
        return ""
    return compared_text(run.facts.box.intersect(truth.box), run.facts.box, truth.box)


def _score_figures(scores: Scores) -> tuple[Figure, ...]:
    parts = f"bits: {scores.voi_split:.2f} split + {scores.voi_merge:.2f} merge"
    return (
        Figure("VOI", f"{scores.voi:.2f}", parts, "Variation of information: the lower, the better"),
        Figure("Adapted Rand error", f"{scores.adapted_rand_error:.3f}", "0 is perfect"),
    )


def _scored(scores: Scores) -> str:
    text = (
        f"Against {quantities.count(scores.truths)} true objects it has {scores.voi_split:.3f} bits of splits and "
        f"{scores.voi_merge:.3f} of merges (VOI), and an adapted Rand error of {scores.adapted_rand_error:.3f}."
    )
    worst = max([*scores.worst_merges[:1], *scores.worst_splits[:1]], key=lambda found: found.bits, default=None)
    if worst is None or not worst.bits:
        return text
    what = "segment" if worst in scores.worst_merges else "true object"
    return f"{text} Look first at {what} {worst.id}: it alone costs {worst.bits:.3f} bits."


def _sizes(run: SegmentationRun) -> Iterator[Section]:
    try:
        sizes = segment_sizes(open_volume(run.layer("segmentation")))
    except SeuronError:
        return  # not there yet
    figures = (Figure("Segments", quantities.count(len(sizes.ids)), _segment_note(run, sizes)),)
    html = _html("sizes.html.j2", sizes=sizes, largest=_largest(run, sizes)) if sizes.total else ""
    pictures = {"segment-sizes": lambda: size_histogram(sizes)} if sizes.total else {}
    yield Section(
        "Segment sizes",
        html,
        figures,
        alerts=tuple(result_warnings(sizes)) if _is_labelled(run) else (),
        sentences=(_counted(run, sizes),),
        pictures=pictures,
    )


def _is_labelled(run: SegmentationRun) -> bool:
    """Whether all labels are written: what is not stored yet is no background."""
    tasks = run.plan.stage("labels").tasks
    return all(run.record(task.id) is not None for task in tasks)


def _counted(run: SegmentationRun, sizes: Sizes) -> str:
    supervoxels = _supervoxels(run)
    source = f", from {quantities.count(supervoxels)} supervoxels" if supervoxels else ""
    estimated = f" (counted at scale {sizes.scale}, so small ones may be missing)" if sizes.scale else ""
    text = f"It has {quantities.count(len(sizes.ids))} segments{source}{estimated}."
    if not len(sizes.ids):
        return text
    return f"{text} The largest holds {quantities.percent(sizes.voxels[0] / sizes.total)} of the labelled voxels."


def _supervoxels(run: SegmentationRun) -> int:
    """Supervoxels in the labels that are written."""
    records = (run.record(task.id) for task in run.plan.stage("labels").tasks)
    return int(sum(record.counts.get("supervoxels", 0) for record in records if record is not None))


def _segment_note(run: SegmentationRun, sizes: Sizes) -> str:
    if sizes.scale:
        return f"counted at scale {sizes.scale}"
    supervoxels = _supervoxels(run)
    return f"from {quantities.count(supervoxels)} supervoxels" if supervoxels else ""


def _largest(run: SegmentationRun, sizes: Sizes) -> list[tuple[int, int, str, float]]:
    """Id, voxels, volume and share of the largest segments."""
    cubic = float(np.prod(run.facts.resolution_nm)) * 1e-9
    found = zip(sizes.ids[:LARGEST].tolist(), sizes.voxels[:LARGEST].tolist(), strict=True)
    return [(i, voxels, f"{voxels * cubic:.3g} µm³", voxels / sizes.total) for i, voxels in found]


def _rules(run: SegmentationRun) -> Iterator[Section]:
    """Name, kind, range of means and number of vetoes of each of the run's rules."""
    threshold = run.params.agglomeration_threshold
    rows = [(rule.name, rule.kind, _range(*rule.range(threshold)), count) for rule, count in veto_counts(run)]
    if rows:
        yield Section("Rules", _html("rules.html.j2", rules=rows))


def _range(below: float | None, above: float | None) -> str:
    found = [f"{word} {bound:g}" for word, bound in (("above", above), ("below", below)) if bound is not None]
    return " and ".join(found) or "any"
