"""Whether a point of a sweep holds the figures of a segmentation, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.evaluation import Agreement, contingency, scores
from seuron.pipelines.segmentation.analysis import SweepPoint


def agreement_of(segments: NDArray[Any], truth: NDArray[Any]) -> Agreement:
    """The figures, by way of all scores."""
    found = scores(contingency(segments, truth))
    return Agreement(**{name: getattr(found, name) for name in Agreement.model_fields})


def check_point(point: SweepPoint, segments: NDArray[np.uint64], truth: NDArray[Any] | None, small: int) -> None:
    """Compare sizes, and scores where there is ground truth."""
    sizes = np.unique(segments[segments > 0], return_counts=True)[1]
    assert point.sizes.segments == sizes.size
    assert point.sizes.largest == max(sizes, default=0)
    assert point.sizes.small_share == (sizes[sizes < small].sum() / sizes.sum() if sizes.size else 0.0)
    assert point.agreement == (None if truth is None else agreement_of(segments, truth))
