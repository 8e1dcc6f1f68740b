"""The tissue kernel against a slow twin that asks every capsule about every voxel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from seuron.synth.neurites import STEP_NM, TAPER, Capsules, grow_neurites, place_organelles
from seuron.synth.tissue import (
    DEPTH_LIMIT_NM,
    WARP_LIPSCHITZ,
    WARP_SPACING_NM,
    Appearance,
    build_tissue,
    draw_appearance,
)

Floats = npt.NDArray[np.float64]


def slow_distances(neurites: Capsules, appearance: Appearance, shape: tuple[int, int, int], voxel_nm: Floats) -> Floats:
    """Least weighted distance to each neurite, `(neurites, X, Y, Z)`, no lists, no blocks."""
    place = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) * voxel_nm
    steps = np.moveaxis(place / WARP_SPACING_NM, -1, 0)
    moved = [ndimage.map_coordinates(appearance.warp[..., a], steps, order=1) for a in range(3)]
    q = place + np.stack(moved, -1)
    distances = np.full((int(neurites.owner.max()) + 1, *shape), np.inf)
    for start, axis, calibre, owner in zip(
        neurites.start, neurites.axis, neurites.calibre, neurites.owner, strict=True
    ):
        t = np.clip(((q - start) @ axis) / (axis @ axis), 0, 1)
        d = np.linalg.norm(q - start - t[..., None] * axis, axis=-1)
        weighted = d - calibre[0] - t * (calibre[1] - calibre[0])
        distances[owner] = np.minimum(distances[owner], weighted)
    return distances


@pytest.mark.parametrize(("seed", "voxel"), [(1, (10.0, 10.0, 10.0)), (2, (8.0, 8.0, 30.0))])
def test_lists_lose_nobody(seed: int, voxel: tuple[float, float, float]) -> None:
    """A capsule wrongly dropped from a block's list leaves square holes in membranes."""
    shape, voxel_nm = (21, 18, 15), np.array(voxel)
    rng = np.random.default_rng(seed)
    neurites = grow_neurites(np.array(shape) * voxel_nm, rng)
    appearance = draw_appearance(np.array(shape) * voxel_nm, int(neurites.owner.max()) + 1, rng)
    tissue = build_tissue(shape, voxel_nm, neurites, place_organelles(neurites, rng), appearance)
    distances = np.sort(slow_distances(neurites, appearance, shape, voxel_nm), axis=0)
    expected = slow_distances(neurites, appearance, shape, voxel_nm).argmin(axis=0) + 1
    clear = distances[1] - distances[0] > 1e-6
    np.testing.assert_array_equal(tissue.owner[clear], expected[clear])
    deep = distances[1] - distances[0] >= 2 * DEPTH_LIMIT_NM
    assert (tissue.depth[deep] == int(DEPTH_LIMIT_NM)).all()
    # Two gradients differ by at most 2, so the depth is at least half the gap.
    least = np.minimum(0.5 * (distances[1] - distances[0]), DEPTH_LIMIT_NM)
    assert (tissue.depth >= np.floor(least - 1e-6)).all()


def test_what_the_lists_rely_on_holds() -> None:
    """The lists' reach assumes how steep the warp and the calibres can be."""
    rng = np.random.default_rng(4)
    appearance = draw_appearance(np.full(3, 2000.0), 10, rng)
    columns = [np.linalg.norm(np.diff(appearance.warp, axis=a), axis=-1).max() / WARP_SPACING_NM for a in range(3)]
    assert np.linalg.norm(columns) <= WARP_LIPSCHITZ + 1e-9
    neurites = grow_neurites(np.full(3, 2000.0), rng)
    assert np.abs(np.diff(neurites.calibre, axis=1)).max() <= TAPER * STEP_NM + 1e-9
