"""Scores of a segmentation against ground truth: contingency tables that add up, and what follows from them."""

from seuron.evaluation.contingency import ContingencyTable, contingency, merge
from seuron.evaluation.scores import ObjectError, Overlap, Scores, read_scores, scores, write_scores
from seuron.evaluation.volumes import evaluate_volumes, evaluation_box

__all__ = [
    "ContingencyTable",
    "ObjectError",
    "Overlap",
    "Scores",
    "contingency",
    "evaluate_volumes",
    "evaluation_box",
    "merge",
    "read_scores",
    "scores",
    "write_scores",
]
