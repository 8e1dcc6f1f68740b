"""Shape descriptors against a slow twin that sums over all voxels of the body, and what they mean."""

from __future__ import annotations

import numpy as np

from seuron.training.descriptors import TRUNCATE, shape_descriptors


def slow(labels: np.ndarray, voxel: tuple[int, int, int], sigma: list[float]) -> np.ndarray:
    """The ten numbers of one voxel, by their definition."""
    places = np.argwhere(labels == labels[voxel])
    steps = (places - np.array(voxel)) / np.array(sigma)
    near = (np.abs(steps * sigma) <= np.array([int(TRUNCATE * s + 0.5) for s in sigma])).all(axis=1)
    kernels = []
    for s in sigma:
        reach = np.arange(-int(TRUNCATE * s + 0.5), int(TRUNCATE * s + 0.5) + 1)
        kernels.append(np.exp(-0.5 * (reach / s) ** 2).sum())
    weights = np.exp(-0.5 * (steps**2).sum(axis=1))[near] / np.prod(kernels)
    steps = steps[near]
    mass = weights.sum()
    mean = (weights[:, None] * steps).sum(axis=0) / mass
    spread = (weights[:, None, None] * steps[:, :, None] * steps[:, None, :]).sum(axis=0) / mass - np.outer(mean, mean)
    pairs = [(0, 1), (0, 2), (1, 2)]
    related = [0.5 + 0.5 * spread[a, b] / np.sqrt(max(spread[a, a] * spread[b, b], 1e-6)) for a, b in pairs]
    return np.clip([*(0.5 + 0.5 * mean), *np.diag(spread), *related, mass], 0, 1)


def test_descriptors_are_what_summing_gives() -> None:
    labels = np.ones((12, 10, 8), np.uint32)
    labels[5:], labels[:, :3] = 2, 3
    found = shape_descriptors(labels, (10, 10, 20), 25.0)
    for voxel in [(0, 5, 4), (6, 7, 0), (4, 1, 3), (11, 9, 7)]:
        np.testing.assert_allclose(found[(slice(None), *voxel)], slow(labels, voxel, [2.5, 2.5, 1.25]), atol=2e-3)


def test_wide_neighbourhoods_are_described_on_every_second_voxel() -> None:
    """The Gaussian is smooth, so what is computed there is nearly right: a body's border is a voxel off."""
    labels = np.ones((16, 16, 16), np.uint32)
    labels[9:] = 2
    found = shape_descriptors(labels, (10, 10, 10), 40.0)
    assert found.shape == (10, 16, 16, 16)
    np.testing.assert_allclose(found[:, 4, 8, 8], slow(labels, (4, 8, 8), [4, 4, 4]), atol=0.08)


def test_no_body_has_no_shape() -> None:
    labels = np.zeros((6, 6, 6), np.uint32)
    labels[:2] = 7
    found = shape_descriptors(labels, (10, 10, 10), 20.0)
    assert not found[:, 2:].any()
    assert found[9, :2].min() > 0
