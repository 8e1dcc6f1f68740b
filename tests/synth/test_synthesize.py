"""`synthesize`: what a seed gives, what its labels promise, and that it looks like EM in numbers."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import cc3d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import scaled

from seuron.errors import PermanentError
from seuron.synth import SyntheticVolume, synthesize

SHAPE = (96, 80, 64)


@pytest.fixture(scope="module")
def volume() -> SyntheticVolume:
    return synthesize(SHAPE, 7)


def test_a_seed_fixes_every_byte_also_when_two_threads_work_at_once(volume: SyntheticVolume) -> None:
    """A benchmark's volume must be the same volume on every machine and next year."""
    with ThreadPoolExecutor(2) as pool:
        again = list(pool.map(lambda _: synthesize(SHAPE, 7), range(2)))
    for other in again:
        np.testing.assert_array_equal(other.image, volume.image)
        np.testing.assert_array_equal(other.labels, volume.labels)


def test_another_seed_is_another_volume(volume: SyntheticVolume) -> None:
    other = synthesize(SHAPE, 8)
    assert (other.image != volume.image).mean() > 0.9
    assert (other.labels > 0).mean() > 0.99


@settings(max_examples=scaled(12))
@given(
    shape=st.tuples(*[st.integers(1, 40)] * 3),
    seed=st.integers(0, 2**31),
    resolution=st.sampled_from([(10.0, 10.0, 10.0), (4.0, 4.0, 40.0), (16.0, 16.0, 40.0)]),
)
def test_labels_count_from_one_and_each_is_one_connected_piece(
    shape: tuple[int, int, int], seed: int, resolution: tuple[float, float, float]
) -> None:
    """Scores count a neurite in two pieces as a split that no segmentation can avoid."""
    made = synthesize(shape, seed, resolution=resolution)
    assert made.image.shape == made.labels.shape == shape
    assert made.image.dtype == np.uint8
    assert made.labels.dtype == np.uint32
    assert made.image.flags.f_contiguous
    assert made.labels.flags.f_contiguous
    assert made.displacement.shape == (shape[2], 2)
    assert not made.displacement.any()
    ids = np.unique(made.labels[made.labels > 0])
    np.testing.assert_array_equal(ids, np.arange(1, len(ids) + 1))
    _, pieces = cc3d.connected_components(made.labels, connectivity=6, return_N=True)
    assert pieces == len(ids)


def test_tissue_is_packed_and_of_many_calibres() -> None:
    """Neuropil has no voids, no neurite takes it all, and thin and thick ones lie side by side."""
    made = synthesize((160, 160, 96), 3)
    sizes = np.sort(np.bincount(made.labels.ravel())[1:])
    assert (made.labels == 0).mean() < 0.01
    assert sizes[-1] < 0.5 * made.labels.size
    assert len(sizes) > 20
    assert sizes[-1] > 30 * np.median(sizes)


def test_membranes_are_dark_where_labels_meet(volume: SyntheticVolume) -> None:
    """The image must show every boundary the labels claim, else no method can be right."""
    image, labels = volume.image.astype(np.float32), volume.labels
    edges = np.zeros(labels.shape, bool)
    for axis in range(3):
        differ = np.diff(labels.astype(np.int64), axis=axis) != 0
        low, high = [slice(None)] * 3, [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        edges[tuple(low)] |= differ
        edges[tuple(high)] |= differ
    assert image[edges].mean() < 105
    assert (image[edges] < 130).mean() > 0.95
    assert np.median(image[~edges]) > 125


def test_grey_values_are_those_of_fib_sem() -> None:
    """FIB-25's percentiles 5, 50, 95 are 79, 130, 186: synthetic tissue lies near them."""
    made = synthesize((128, 128, 128), 21)
    low, middle, high = np.percentile(made.image, [5, 50, 95])
    assert 65 < low < 100
    assert 110 < middle < 160
    assert 165 < high < 205


def test_speed_stays_useful(volume: SyntheticVolume) -> None:
    """About 1.8 Mvox/s on one core was measured; a third of a million allows for a busy machine."""
    del volume  # The fixture has compiled the kernels.
    started = time.process_time()
    made = synthesize((160, 128, 96), 5)
    assert made.image.size / (time.process_time() - started) > 0.3e6


@pytest.mark.parametrize(
    ("shape", "seed", "resolution"),
    [
        ((0, 10, 10), 1, (10.0, 10.0, 10.0)),
        ((10, 10, 10), -1, (10.0, 10.0, 10.0)),
        ((10, 10, 10), 1, (0.0, 10.0, 10.0)),
    ],
)
def test_impossible_volumes_are_refused(
    shape: tuple[int, int, int], seed: int, resolution: tuple[float, float, float]
) -> None:
    with pytest.raises(PermanentError, match="synthesize"):
        synthesize(shape, seed, resolution=resolution)
