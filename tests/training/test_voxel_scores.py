"""AUC and F1 from histograms, against scores counted pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seuron.errors import PermanentError
from seuron.training.targets import NEAREST, affinity_targets, grow_boundaries
from seuron.training.voxel_scores import Histograms, affinity_histograms


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=30))
def test_scores_are_what_counting_gives(samples: list[tuple[int, bool]]) -> None:
    counts = np.zeros((2, 1, 256), np.int64)
    for value, inside in samples:
        counts[int(inside), 0, value] += 1
    found = Histograms(counts[0], counts[1])
    pairs = [(a, b) for a, inside in samples if inside for b, other in samples if not other]
    if pairs:
        wins = sum((a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs)
        assert found.auc()[0] == pytest.approx(wins)
    else:
        assert np.isnan(found.auc()[0])
    hits = sum(value < 5 and not inside for value, inside in samples)
    wrong = sum((value < 5) == inside for value, inside in samples)
    assert found.f1(5)[0] == pytest.approx(2 * hits / max(1, 2 * hits + wrong))


def test_perfect_affinities_score_one() -> None:
    rng = np.random.default_rng(2)
    labels = np.repeat(np.repeat(rng.integers(1, 4, (4, 4, 4)), 5, 0), 5, 1).repeat(5, 2).astype(np.uint32)
    truth, _ = affinity_targets(grow_boundaries(labels), labels > 0, NEAREST)
    found = affinity_histograms((np.moveaxis(truth, 0, -1) * 200).astype(np.uint8), labels)
    assert found.auc() == (1.0, 1.0, 1.0)
    assert found.f1(found.best_threshold()) == (1.0, 1.0, 1.0)


def test_affinities_must_fit_the_labels() -> None:
    with pytest.raises(PermanentError, match="to_uint8"):
        affinity_histograms(np.zeros((4, 4, 4, 3), np.float32), np.zeros((4, 4, 4), np.uint32))
