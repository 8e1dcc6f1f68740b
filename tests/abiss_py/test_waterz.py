"""Agreement with waterz, an independent implementation of mean-affinity agglomeration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

import abiss_py

waterz = pytest.importorskip("waterz", reason="waterz is a test dependency: pip install waterz")


@pytest.mark.parametrize("threshold", [0.4, 0.5, 0.6])
def test_same_segments_from_the_same_fragments(threshold: float) -> None:
    """On supervoxels of a smooth random map without ties, both join exactly the same ones."""
    random = np.random.default_rng(7)
    noise = ndimage.gaussian_filter(random.standard_normal((40, 36, 32, 3)), (2, 2, 2, 0))
    affinities = (1 / (1 + np.exp(-40 * noise + 1.0))).astype(np.float32)
    ours = abiss_py.segment(affinities, high=0.99, low=0.01, size=30, dust=0, threshold=threshold)

    # waterz takes channels z, y, x first and merges while 1 - mean affinity is below the threshold.
    theirs = np.ascontiguousarray(affinities.transpose(3, 2, 1, 0)[::-1])
    fragments = ours.supervoxels.transpose(2, 1, 0).copy()  # waterz works in place
    scoring = "OneMinus<MeanAffinity<RegionGraphType, ScoreValue>>"
    (merged,) = waterz.agglomerate(
        theirs, [1 - threshold], fragments=fragments, scoring_function=scoring, discretize_queue=0
    )
    pairs = np.unique(np.stack([ours.segments.transpose(2, 1, 0).ravel(), merged.ravel()]), axis=1)
    assert len(np.unique(ours.supervoxels)) > len(np.unique(ours.segments)) > 5
    assert pairs.shape[1] == len(np.unique(pairs[0])) == len(np.unique(pairs[1]))
