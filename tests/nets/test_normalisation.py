"""The grey scale of a run."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from seuron.box import Box, Triple, triple
from seuron.errors import PermanentError
from seuron.nets.normalisation import Normalisation, measure_image, measure_normalisation, sample_boxes


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


def tissue(shape: Triple, seed: int = 0) -> NDArray[np.uint8]:
    """Grey values of tissue, 120 with a deviation of 25."""
    return np.clip(np.random.default_rng(seed).normal(120, 25, shape), 1, 255).astype(np.uint8)


def measured(image: NDArray[np.uint8]) -> Normalisation:
    return measure_image(lambda box: image[box.slices], Box((0, 0, 0), triple(image.shape)))


@pytest.mark.parametrize("shape", [(192, 192, 130), (129, 257, 65), (70, 64, 63), (256, 64, 64)])
def test_mirroring_changes_nothing_of_what_is_measured(shape: Triple) -> None:
    """Samples lay at x = 0 alone, so that one half of a volume decided: each half counts as much as the other."""
    image = (tissue(shape) * np.linspace(0.4, 1, shape[0])[:, None, None]).astype(np.uint8)
    image[: shape[0] // 3] = 235  # resin
    image[..., : shape[2] // 4] = 0
    found = measured(image)
    for axes in product((1, -1), repeat=3):
        mirrored = image[tuple(slice(None, None, step) for step in axes)]
        assert measured(mirrored) == found


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("empty", ["black", "resin", "constant"])
def test_empty_places_do_not_move_the_scale(axis: int, empty: str) -> None:
    """A margin of resin gave a scale for which all tissue is black, and black padding was refused."""
    image = tissue((192, 192, 192))
    plain = measured(image)
    margin = [slice(None)] * 3
    margin[axis] = slice(0, 64)
    noise = np.random.default_rng(1).normal(235, 2, image[tuple(margin)].shape)
    image[tuple(margin)] = {"black": 0, "resin": noise.astype(np.uint8), "constant": 200}[empty]
    found = measured(image)
    assert found.mean == pytest.approx(plain.mean, abs=1)
    assert found.std == pytest.approx(plain.std, abs=1)


def test_a_small_volume_is_measured_whole() -> None:
    """What was measured of small volumes stays as it was, to the last bit."""
    image = tissue((100, 90, 80))
    assert measured(image) == measure_normalisation(image)


def test_samples_lie_in_the_box_and_apart() -> None:
    """Every sample is inside, on all sides of the middle of a large box, and a thin one has as many."""
    for shape in ((4096, 4096, 4096), (4096, 4096, 40), (1, 1, 100_000), (5, 7, 3)):
        box = Box((10, 20, 30), triple([a + n for a, n in zip((10, 20, 30), shape, strict=True)]))
        boxes = sample_boxes(box)
        assert all(box.contains(sample) and sample.voxels for sample in boxes)
        assert len(set(boxes)) == len(boxes)
        for axis in range(3):
            assert box.minimum[axis] + box.maximum[axis] == (
                min(sample.minimum[axis] for sample in boxes) + max(sample.maximum[axis] for sample in boxes)
            )
        if max(shape) > 4000:
            assert 40 <= len(boxes) <= 160


def test_a_box_without_tissue_is_refused() -> None:
    """Nothing can be measured of a black or constant box."""
    for grey in (0, 77):
        with pytest.raises(PermanentError, match="cannot be measured"):
            measured(np.full((100, 80, 60), grey, np.uint8))
