"""Engines run nets as their descriptions say."""

from __future__ import annotations

import numpy as np
import pytest

from seuron.errors import PermanentError
from seuron.nets.engines import load_engine
from seuron.nets.models import describe


def test_the_shipped_net_is_described_without_torch() -> None:
    """What a check needs to know of a net is there without loading it."""
    found = describe("boundary-fib25")
    assert found.resolutions_nm == ((10.0, 10.0, 10.0),)
    assert [channel.name for channel in found.outputs[0].channels] == ["affinity-x", "affinity-y", "affinity-z"]
    assert found.outputs[0].channels[1].offset == (0, -1, 0)
    assert "CC BY 3.0" in found.licence
    assert len(found.sha256) == 64


def test_a_patch_has_one_output_whatever_is_in_its_batch() -> None:
    """Batches change the time and nothing else."""
    engine = load_engine("boundary-fib25", precision="fp32", device="cpu")
    batch = np.random.default_rng(1).standard_normal((2, 1, 16, 8, 12)).astype(np.float32)
    both = engine.run(batch)
    assert both.shape == (2, 3, 16, 8, 12)
    assert 0 <= both.min() < both.max() <= 1
    np.testing.assert_array_equal(engine.run(batch[1:]), both[1:])


def test_a_batch_that_does_not_fit_is_refused_with_all_that_is_wrong() -> None:
    """Sides and channels are named together."""
    engine = load_engine("boundary-fib25", precision="fp32", device="cpu")
    with pytest.raises(PermanentError, match=r"18 voxels along x.*2 input channels"):
        engine.run(np.zeros((1, 2, 18, 8, 8), np.float32))
