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
from seuron.evaluation.volumes import evaluate_volumes, evaluation_box

__all__ = [
    "Agreement",
    "ContingencyTable",
    "ObjectError",
    "Overlap",
    "Overlaps",
    "Scores",
    "contingency",
    "evaluate_volumes",
    "evaluation_box",
    "merge",
    "read_scores",
    "scores",
    "with_truth",
    "write_scores",
]
