"""The grey scale of a run."""

from __future__ import annotations

import numpy as np
import pytest

from seuron.errors import PermanentError
from seuron.nets.normalisation import Normalisation, measure_normalisation


def test_scale_is_the_mean_and_deviation() -> None:
    sample = np.clip(np.random.default_rng(0).normal(120, 20, (60, 50, 40)), 1, 255).astype(np.uint8)
    found = measure_normalisation(sample)
    assert found.mean == pytest.approx(119.5, abs=1)
    assert found.std == pytest.approx(20, rel=0.1)
    scaled = found.apply(sample)
    assert scaled.dtype == np.float32
    assert abs(float(scaled.mean())) < 0.1


def test_masked_voxels_and_dirt_do_not_move_the_scale() -> None:
    """Black borders of aligned volumes would otherwise make tissue look washed out."""
    sample = np.clip(np.random.default_rng(1).normal(120, 20, (60, 50, 40)), 1, 255).astype(np.uint8)
    clean = measure_normalisation(sample)
    dirty = sample.copy()
    dirty[:30] = 0
    dirty[40, :7] = 255
    found = measure_normalisation(dirty)
    assert found.mean == pytest.approx(clean.mean, abs=2)
    assert found.std == pytest.approx(clean.std, abs=2)


@pytest.mark.parametrize("value", [0, 77])
def test_an_even_sample_is_refused(value: int) -> None:
    with pytest.raises(PermanentError, match="every voxel"):
        measure_normalisation(np.full((4, 4, 4), value, np.uint8))


def test_a_scale_of_zero_is_refused() -> None:
    with pytest.raises(PermanentError, match="std"):
        Normalisation(100, 0)
