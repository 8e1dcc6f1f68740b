"""The laws of the patch grid and its sums, and the grid's own promises."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import scaled

from seuron.box import Box, Triple, triple
from seuron.errors import PermanentError
from seuron.nets.patches import FixedPoint, PatchGrid, boxes_outside, cut_patch

UNIT = FixedPoint(0.0, 1.0)


@st.composite
def grids(draw: st.DrawFn, most: int = 16) -> PatchGrid:
    """Any grid: patches larger than the image, any overlap and margin, minimum corners below 0."""
    minimum = triple([draw(st.integers(-9, 9)) for _ in range(3)])
    shape = [draw(st.integers(1, most)) for _ in range(3)]
    patch = [draw(st.integers(2, 10)) for _ in range(3)]
    overlap = [draw(st.integers(0, p - 1)) for p in patch]
    margin = [draw(st.integers(0, o // 2)) for o in overlap]
    blending = draw(st.sampled_from(["blend", "crop"]))
    image = Box.from_shape(minimum, shape)
    return PatchGrid(image, triple(patch), triple(overlap), triple(margin), blending)


def add_patch(grid: PatchGrid, image: npt.NDArray[np.float32], index: Triple, sums: npt.NDArray[np.int32]) -> None:
    """A patch of a net that returns its input."""
    patch = grid.patch(index)
    values = cut_patch(image, grid.image, patch, grid.image)[None]
    shared = grid.reach(index).intersect(grid.image)
    if shared.voxels:
        here, inside = shared.within(grid.image), shared.within(patch)
        UNIT.add(sums[(slice(None), *here)], values[(slice(None), *inside)], grid.shares(index, shared))


@settings(max_examples=scaled(40))
@given(grid=grids(), seed=st.integers(0, 99))
def test_an_identity_net_gives_its_input_back(grid: PatchGrid, seed: int) -> None:
    """At any stride, shape, margin and way of joining patches, and at the image's edges, to 1e-6."""
    image = np.random.default_rng(seed).random(grid.image.shape, dtype=np.float32)
    sums = np.zeros((1, *grid.image.shape), np.int32)
    for index in grid.meeting(grid.image).places():
        add_patch(grid, image, index, sums)
    np.testing.assert_allclose(UNIT.numbers(sums)[0], image, atol=1e-6, rtol=0)


@settings(max_examples=scaled(25))
@given(grid=grids(), seed=st.integers(0, 99))
def test_sums_are_the_same_in_any_order_and_any_parts(grid: PatchGrid, seed: int) -> None:
    """Patches shuffled, and shared out to three that are added at the end: the same integers."""
    chance = np.random.default_rng(seed)
    image = chance.random(grid.image.shape, dtype=np.float32)
    indices = list(grid.meeting(grid.image).places())
    whole, *parts = (np.zeros((1, *grid.image.shape), np.int32) for _ in range(4))
    for index in indices:
        add_patch(grid, image, index, whole)
    for number in chance.permutation(len(indices)):
        add_patch(grid, image, indices[number], parts[chance.integers(3)])
    np.testing.assert_array_equal(sum(parts), whole)


@given(grid=grids(most=40), data=st.data())
def test_patches_that_meet_a_box_are_those_that_reach_it(grid: PatchGrid, data: st.DataObject) -> None:
    """All patches with a share in a voxel of the box, and no others."""
    low = [data.draw(st.integers(a, b - 1)) for a, b in zip(grid.image.minimum, grid.image.maximum, strict=True)]
    high = [data.draw(st.integers(a + 1, b)) for a, b in zip(low, grid.image.maximum, strict=True)]
    box = Box(triple(low), triple(high))
    every = Box((0, 0, 0), grid.count).places()
    assert list(grid.meeting(box).places()) == [i for i in every if grid.reach(i).intersect(box).voxels]


@given(
    shape=st.tuples(*(st.integers(1, 300) for _ in range(3))),
    largest=st.integers(8, 96),
    share=st.floats(0, 0.5),
    step=st.sampled_from([1, 2, 4]),
    margin=st.integers(0, 3),
)
def test_fitted_patches_cover_the_image_and_cost_no_more(
    shape: Triple, largest: int, share: float, step: int, margin: int
) -> None:
    """They are as many as the largest ones would be, none is larger, and sides are whole steps."""
    largest = -(-largest // step) * step
    overlap = min(largest - 1, max(2 * margin, int(share * largest)))
    image = Box.from_shape((3, -4, 5), shape)
    sizes = ((largest,) * 3, (overlap,) * 3)
    plain = PatchGrid(image, *sizes, margin=(margin,) * 3)
    fitted = PatchGrid.fitted(image, *sizes, step=(step,) * 3, least=(step,) * 3, margin=(margin,) * 3)
    assert fitted.count == plain.count
    assert all(side <= largest and side % step == 0 for side in fitted.patch_size)
    last = fitted.reach(triple([n - 1 for n in fitted.count]))
    assert fitted.reach((0, 0, 0)).hull(last).contains(image)


def test_five_sections_do_not_pay_for_ninety_six() -> None:
    """The patch is as thin as the net's granularity lets it be; the margin still fits."""
    image = Box((0, 0, 0), (500, 500, 5))
    grid = PatchGrid.fitted(image, (96, 96, 96), (16, 16, 16), step=(4, 4, 4), least=(4, 4, 4))
    assert grid.patch_size[2] == 8
    assert grid.patches_per_voxel < 3
    assert PatchGrid(image, (96, 96, 96), (16, 16, 16)).patches_per_voxel > 25


@pytest.mark.parametrize("size", [64, 512, 1024])
def test_weights_survive_large_patches(size: int) -> None:
    """exp(-1 / (1 - d^2)) underflows float64 near the faces of a patch of 512."""
    grid = PatchGrid(Box((0, 0, 0), (2 * size, 1, 1)), (size, 2, 2), (size // 4, 0, 0))
    for x in range(grid.count[0]):
        shares = grid.shares((x, 0, 0), grid.reach((x, 0, 0)))
        assert np.isfinite(shares).all()
        assert 0 <= shares.min() <= shares.max() <= 1


def test_shares_are_the_bump_over_its_sum() -> None:
    """Against the formula of Lee et al. 2017, written out with no logarithm and no axes."""
    grid = PatchGrid(Box((0, 0, 0), (20, 9, 9)), (8, 6, 6), (5, 2, 2))
    total = np.zeros((60, 60, 60))
    raw: dict[Triple, npt.NDArray[np.float64]] = {}
    for index in Box((0, 0, 0), grid.count).places():
        patch = grid.patch(index)
        d = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) * 2 / n - 1 for n in patch.shape], indexing="ij"))
        raw[index] = np.exp(-(1 / (1 - d**2)).sum(axis=0))
        total[patch.shifted((20, 20, 20)).slices] += raw[index]
    for index, weights in raw.items():
        expected = weights / total[grid.patch(index).shifted((20, 20, 20)).slices]
        np.testing.assert_allclose(grid.shares(index, grid.reach(index)), expected, rtol=1e-5)


@pytest.mark.parametrize("numbers", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (-3.0, 0.01)])
def test_sums_of_any_range_fit(numbers: tuple[float, float]) -> None:
    """A voxel that many patches share has the extreme number of its range, and no sum overflows."""
    fixed = FixedPoint(*numbers)
    for number in numbers:
        sums, shares = np.zeros((1, 1, 1, 1), np.int32), np.full((1, 1, 1), 1 / 27, np.float32)
        for _ in range(27):
            fixed.add(sums, np.full((1, 1, 1, 1), number, np.float32), shares)
        assert fixed.numbers(sums).item() == pytest.approx(number, rel=1e-6, abs=1e-6)


@given(st.lists(st.integers(0, 9), min_size=12, max_size=12))
def test_what_is_outside_a_box_is_cut_into_boxes(ends: list[int]) -> None:
    """Each voxel of the outer box that is not in the inner one lies in exactly one of them."""
    outer, inner = (
        Box(triple([min(a, b) for a, b in pairs]), triple([max(a, b) for a, b in pairs]))
        for pairs in (list(zip(ends[:3], ends[3:6], strict=True)), list(zip(ends[6:9], ends[9:], strict=True)))
    )
    seen = np.zeros((9, 9, 9), np.int8)
    for box in boxes_outside(outer, inner):
        seen[box.slices] += 1
    expected = np.zeros((9, 9, 9), np.int8)
    expected[outer.slices] = 1
    expected[inner.slices] = 0
    np.testing.assert_array_equal(seen, expected)


def test_a_patch_is_mirrored_only_outside_the_image() -> None:
    """The context of an edge voxel is the image's own, mirrored, and the image's where there is one."""
    image = Box((10, 0, 0), (14, 3, 3))
    region = np.arange(36, dtype=np.uint8).reshape((4, 3, 3), order="F")
    patch = cut_patch(region, image, Box((8, 0, 0), (13, 3, 3)), image)
    np.testing.assert_array_equal(patch, region[[1, 0, 0, 1, 2]])


@pytest.mark.parametrize(
    ("patch", "overlap", "margin"),
    [
        ((8, 8, 8), (8, 0, 0), (0, 0, 0)),
        ((8, 8, 8), (-1, 0, 0), (0, 0, 0)),
        ((0, 8, 8), (0, 0, 0), (0, 0, 0)),
        ((8, 8, 8), (3, 3, 3), (2, 0, 0)),
    ],
)
def test_impossible_grids_are_refused(patch: Triple, overlap: Triple, margin: Triple) -> None:
    """An overlap that is no overlap, or that leaves gaps between the outputs of neighbours."""
    with pytest.raises(PermanentError, match="overlap"):
        PatchGrid(Box((0, 0, 0), (9, 9, 9)), patch, overlap, margin)
