"""Scores of a segmentation against ground truth: contingency tables that add up, and what follows from them."""

from seuron.evaluation.contingency import ContingencyTable, contingency, merge
from seuron.evaluation.scores import (
    Agreement,
    ObjectError,
    Overlap,
    Overlaps,
    Scores,
    read_scores,
    scores,
    with_truth,
    write_scores,
)
from seuron.evaluation.skeleton_files import evaluate_skeletons
from seuron.evaluation.skeletons import RunLengths, TrueSkeleton, run_lengths
from seuron.evaluation.volumes import (
    compared_text,
    evaluate_volumes,
    evaluation_box,
    labels_like,
    sampled_box,
    sampled_labels,
)

__all__ = [
    "Agreement",
    "ContingencyTable",
    "ObjectError",
    "Overlap",
    "Overlaps",
    "RunLengths",
    "Scores",
    "TrueSkeleton",
    "compared_text",
    "contingency",
    "evaluate_skeletons",
    "evaluate_volumes",
    "evaluation_box",
    "labels_like",
    "merge",
    "read_scores",
    "run_lengths",
    "sampled_box",
    "sampled_labels",
    "scores",
    "with_truth",
    "write_scores",
]
