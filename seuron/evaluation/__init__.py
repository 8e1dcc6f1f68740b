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
from seuron.evaluation.volumes import compared_text, evaluate_volumes, evaluation_box, labels_like

__all__ = [
    "Agreement",
    "ContingencyTable",
    "ObjectError",
    "Overlap",
    "Overlaps",
    "Scores",
    "compared_text",
    "contingency",
    "evaluate_volumes",
    "evaluation_box",
    "labels_like",
    "merge",
    "read_scores",
    "scores",
    "with_truth",
    "write_scores",
]
