"""Augmentation: geometry moves image and labels together, grey values move the image only."""

from __future__ import annotations

import numpy as np
import pytest

from seuron.nets.augmentation import Orientation, vary_grey, vary_sections


@pytest.mark.parametrize("seed", range(8))
def test_image_and_labels_turn_together(seed: int) -> None:
    """One flip on the image alone would teach the net noise."""
    cube = np.arange(4**3).reshape(4, 4, 4)
    orientation = Orientation(np.random.default_rng(seed), (8, 8, 8), (4, 4, 4))
    turned = orientation.apply(cube)
    np.testing.assert_array_equal(orientation.apply(cube.astype(np.float32)), turned)
    np.testing.assert_array_equal(np.sort(turned, axis=None), np.arange(64))


def test_axes_are_swapped_only_between_equals() -> None:
    """A section 40 nm thick looks nothing like a 4 nm pixel; a 32-voxel side does not fit a 64-voxel one."""
    seen = set()
    for seed in range(60):
        seen.add(Orientation(np.random.default_rng(seed), (4, 4, 40), (8, 8, 8)).axes)
        assert Orientation(np.random.default_rng(seed), (8, 8, 8), (8, 4, 2)).axes == (0, 1, 2)
    assert seen == {(0, 1, 2), (1, 0, 2)}


def test_grey_values_vary_a_lot_but_stay_in_order() -> None:
    """Membranes stay darker than cytoplasm, whatever the microscope."""
    ramp = np.linspace(-2.5, 2.5, 20**3, dtype=np.float32).reshape(20, 20, 20)
    varied = [vary_grey(ramp, np.random.default_rng(seed)) for seed in range(20)]
    assert all(v.dtype == np.float32 and np.isfinite(v).all() for v in varied)
    assert all(np.corrcoef(v.ravel(), ramp.ravel())[0, 1] > 0.85 for v in varied)
    assert np.ptp([v.mean() for v in varied]) > 0.5
    assert max(v.std() for v in varied) > 1.5 * min(v.std() for v in varied)


def test_at_most_one_section_is_hurt() -> None:
    image = np.random.default_rng(0).standard_normal((9, 9, 9)).astype(np.float32)
    hurt = 0
    for seed in range(40):
        changed = vary_sections(image, np.random.default_rng(seed)) != image
        if changed.any():
            hurt += 1
            assert min(len(np.unique(np.nonzero(changed)[axis])) for axis in range(3)) == 1
    assert 0 < hurt < 20
