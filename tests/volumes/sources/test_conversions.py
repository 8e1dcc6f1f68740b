"""Labels of floats become integers only where that loses nothing, and grey values become uint8 by a window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from seuron.box import Box
from seuron.errors import DataError, VolumeError
from seuron.volumes.sources.conversions import as_grey, as_labels, grey_window
from seuron.volumes.sources.source import SourceVolume, Stated


def _source(voxels: NDArray[Any]) -> SourceVolume:
    """An array (X, Y, Z) as a source."""
    x, y, z = voxels.shape
    read = lambda box: voxels[box.slices][..., np.newaxis]  # noqa: E731
    return SourceVolume("a test", "array", (x, y, z), 1, voxels.dtype, read, Stated("xyz", "a test"))


def _all(source: SourceVolume) -> NDArray[Any]:
    return source.read(Box((0, 0, 0), source.shape))[..., 0]


@given(arrays(np.uint32, (3, 2, 1), elements=st.integers(0, 2**24)))
def test_whole_floats_are_labels(labels: NDArray[Any]) -> None:
    """Every label that float32 holds exactly comes back, as uint32."""
    found = as_labels(_source(labels.astype(np.float32)))
    assert found.dtype == np.uint32
    np.testing.assert_array_equal(_all(found), labels)


@pytest.mark.parametrize("value", [0.5, -1.0, float("nan"), float("inf"), 2.0**25])
def test_floats_that_are_no_labels_are_refused(value: float) -> None:
    """Fractions, negative and infinite values, and what float32 cannot tell apart, are named."""
    with pytest.raises(DataError, match="labels are whole numbers from 0 to 16777216 in float32"):
        _all(as_labels(_source(np.full((2, 2, 2), value, np.float32))))


def test_integers_stay_as_they_are() -> None:
    """Labels of integers need nothing."""
    source = _source(np.zeros((1, 1, 1), np.int16))
    assert as_labels(source) is source


@given(arrays(np.uint16, (4, 3, 2)), st.integers(0, 60_000), st.integers(1, 5_000))
def test_a_window_keeps_the_order_of_greys(voxels: NDArray[Any], low: int, width: int) -> None:
    """The window's ends become 0 and 255, values outside of it are cut, and no two greys change places."""
    grey = _all(as_grey(_source(voxels), (low, low + width)))
    assert grey.dtype == np.uint8
    assert (grey[voxels <= low] == 0).all()
    assert (grey[voxels >= low + width] == 255).all()
    order = np.argsort(voxels, axis=None)
    assert (np.diff(grey.ravel()[order].astype(int)) >= 0).all()


def test_signed_bytes_keep_every_grey() -> None:
    """The whole range of int8 becomes that of uint8, one to one."""
    voxels = np.arange(-128, 128, dtype=np.int8).reshape(16, 16, 1)
    np.testing.assert_array_equal(_all(as_grey(_source(voxels), (-128, 127))), voxels.astype(int) + 128)


def test_not_a_number_is_black() -> None:
    """NaN and infinite greys do not become arbitrary numbers."""
    voxels = np.array([np.nan, np.inf, -np.inf, 0.5], np.float32).reshape(4, 1, 1)
    assert _all(as_grey(_source(voxels), (0, 1))).ravel().tolist() == [0, 255, 0, 128]


@pytest.mark.parametrize("window", [(1, 1), (2, 1), (0, float("inf")), (float("nan"), 1)])
def test_a_window_without_width_is_refused(window: tuple[float, float]) -> None:
    """The lower value comes first, and both are finite."""
    with pytest.raises(VolumeError, match="two finite numbers, the lower one first"):
        as_grey(_source(np.zeros((1, 1, 1))), window)


def test_the_window_looks_everywhere_and_leaves_padding_out() -> None:
    """Half of the volume black, along any axis, and single hot voxels change the window by little."""
    rng = np.random.default_rng(0)
    tissue = rng.normal(30_000, 2_000, (128, 96, 160)).astype(np.uint16)
    plain = grey_window(_source(tissue))
    for axis in range(3):
        padded = tissue.copy()
        padded[tuple(slice(None) if i != axis else slice(0, size // 2) for i, size in enumerate(tissue.shape))] = 0
        padded[rng.integers(96, size=50), rng.integers(96, size=50), rng.integers(96, size=50)] = 65_535
        assert grey_window(_source(padded)) == pytest.approx(plain, rel=0.02)


def test_samples_without_contrast_ask_for_a_window() -> None:
    """Nothing is guessed from a constant volume."""
    with pytest.raises(DataError, match="give --window LOW,HIGH"):
        grey_window(_source(np.full((40, 40, 40), 7, np.uint16)))
