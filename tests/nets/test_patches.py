"""The two laws of the patch grid, and the grid's own promises."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seuron.box import Box, Triple, triple
from seuron.errors import PermanentError
from seuron.nets.patches import PatchGrid, blend, cut_patch, needed_region


@st.composite
def grids(draw: st.DrawFn) -> PatchGrid:
    """Any grid: patches larger than the image, any overlap, minimum corners below 0."""
    minimum = triple([draw(st.integers(-9, 9)) for _ in range(3)])
    shape = [draw(st.integers(1, 26)) for _ in range(3)]
    patch = [draw(st.integers(2, 14)) for _ in range(3)]
    overlap = [draw(st.integers(0, p - 1)) for p in patch]
    return PatchGrid(Box.from_shape(minimum, shape), triple(patch), triple(overlap))


@st.composite
def grids_and_boxes(draw: st.DrawFn) -> tuple[PatchGrid, Box]:
    grid = draw(grids())
    low = [draw(st.integers(a, b - 1)) for a, b in zip(grid.image.minimum, grid.image.maximum, strict=True)]
    high = [draw(st.integers(a + 1, b)) for a, b in zip(low, grid.image.maximum, strict=True)]
    return grid, Box(triple(low), triple(high))


def net_of(image: npt.NDArray[np.float32], grid: PatchGrid) -> npt.NDArray[np.float32]:
    """A stand-in for a net: two channels that depend on the whole patch, so seams would show."""
    mean = image.mean(dtype=np.float64)
    return np.stack([image * np.float32(mean), np.cos(image + np.float32(mean))], axis=-1)


def run(grid: PatchGrid, box: Box, image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Blend as predict_box does: read only what is needed, then patch by patch."""
    covers = needed_region(grid, box)
    region = image[covers.within(grid.image)]
    return blend(grid, box, 2, lambda patch: net_of(cut_patch(region, covers, patch, grid.image), grid))


@given(case=grids_and_boxes(), seed=st.integers(0, 99))
def test_a_box_has_the_bits_of_the_whole(case: tuple[PatchGrid, Box], seed: int) -> None:
    """Chunks computed by different tasks must join without a seam, whatever the chunking."""
    grid, box = case
    image = np.random.default_rng(seed).random(grid.image.shape, dtype=np.float32)
    whole = run(grid, grid.image, image)
    np.testing.assert_array_equal(run(grid, box, image), whole[box.within(grid.image)])


@given(grid=grids(), seed=st.integers(0, 99))
def test_an_identity_net_gives_its_input_back(grid: PatchGrid, seed: int) -> None:
    """At any stride and at the image's edges, to 1e-6."""
    image = np.random.default_rng(seed).random(grid.image.shape, dtype=np.float32)
    covers = needed_region(grid, grid.image)
    assert covers == grid.image
    back = blend(grid, grid.image, 1, lambda patch: cut_patch(image, covers, patch, grid.image)[..., None])
    np.testing.assert_allclose(back[..., 0], image, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [64, 512, 1024])
def test_weights_survive_large_patches(size: int) -> None:
    """exp(-1 / (1 - d^2)) underflows float64 near the faces of a patch of 512."""
    grid = PatchGrid(Box((0, 0, 0), (2 * size, 1, 1)), (size, 2, 2), (size // 4, 0, 0))
    for x in range(grid.count[0]):
        weights = grid.weights((x, 0, 0))
        assert np.isfinite(weights).all()
        assert (weights >= 0).all()
        assert weights.max() <= 1


def test_weights_are_the_bump_over_its_sum() -> None:
    """Against the formula of Lee et al. 2017, written out with no logarithm and no axes."""
    grid = PatchGrid(Box((0, 0, 0), (20, 9, 9)), (8, 6, 6), (5, 2, 2))
    total = np.zeros((60, 60, 60))
    raw: dict[Triple, npt.NDArray[np.float64]] = {}
    for index, patch in grid.overlapping(grid.image):
        d = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) * 2 / n - 1 for n in patch.shape], indexing="ij"))
        raw[index] = np.exp(-(1 / (1 - d**2)).sum(axis=0))
        total[patch.shifted((20, 20, 20)).slices] += raw[index]
    for index, weights in raw.items():
        expected = weights / total[grid.patch(index).shifted((20, 20, 20)).slices]
        np.testing.assert_allclose(grid.weights(index), expected, rtol=1e-9)


@given(case=grids_and_boxes())
def test_overlapping_patches_are_all_and_only_those(case: tuple[PatchGrid, Box]) -> None:
    grid, box = case
    nx, ny, nz = grid.count
    every = [(x, y, z) for z in range(nz) for y in range(ny) for x in range(nx)]
    expected = []
    for index in every:
        met = grid.patch(index).intersect(box)
        if min(met.shape) > 0:
            expected.append(index)
    assert [index for index, _ in grid.overlapping(box)] == expected


def test_a_patch_is_mirrored_only_outside_the_image() -> None:
    image = Box((10, 0, 0), (14, 3, 3))
    region = np.arange(36, dtype=np.uint8).reshape((4, 3, 3), order="F")
    patch = cut_patch(region, image, Box((8, 0, 0), (13, 3, 3)), image)
    np.testing.assert_array_equal(patch, region[[1, 0, 0, 1, 2]])


@pytest.mark.parametrize(
    ("patch", "overlap"), [((8, 8, 8), (8, 0, 0)), ((8, 8, 8), (-1, 0, 0)), ((0, 8, 8), (0, 0, 0))]
)
def test_impossible_grids_are_refused(patch: Triple, overlap: Triple) -> None:
    with pytest.raises(PermanentError, match="overlap"):
        PatchGrid(Box((0, 0, 0), (9, 9, 9)), patch, overlap)


def test_a_box_outside_the_image_is_refused() -> None:
    grid = PatchGrid(Box((0, 0, 0), (9, 9, 9)), (4, 4, 4), (1, 1, 1))
    with pytest.raises(PermanentError, match="leaves the image"):
        blend(grid, Box((5, 5, 5), (10, 9, 9)), 1, lambda patch: np.zeros((4, 4, 4, 1), np.float32))
