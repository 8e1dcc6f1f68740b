"""Augmentations: geometry moves image, labels and mask together; grey values move the image only; a seed fixes all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seuron.box import Triple, triple
from seuron.training.augmentations import LabelledPatch, PatchChange, draw_changes, draw_exclusive
from seuron.training.augmentations.grey import recontrast_plane, vary_grey
from seuron.training.augmentations.lost_sections import LostSections, draw_lost, draw_lost_missing
from seuron.training.augmentations.misalignment import Misalignment, draw_misaligned_missing, draw_misalignment
from seuron.training.augmentations.orientation import Orientation
from seuron.training.augmentations.sections import draw_missing, draw_out_of_focus
from seuron.training.augmentations.warp import draw_warp
from seuron.training.file import AugmentationChoice

SIZE: Triple = (12, 10, 14)
ROOM: Triple = (40, 30, 6)
PAPER = AugmentationChoice(
    warp=0.5, misalignment=0.2, missing=0.2, misaligned_missing=0.2, lost=0.2, lost_missing=0.2, out_of_focus=0.5
)

Draw = Callable[[np.random.Generator], PatchChange | None]
#: Every family, drawn for patches of `SIZE`; slips and section defects change the image alone.
FAMILIES: dict[str, Draw] = {
    "orientation": lambda rng: Orientation(rng, (8, 8, 40), SIZE),
    "warp": lambda rng: draw_warp(rng, SIZE, ROOM),
    "step": lambda rng: draw_misalignment(rng, SIZE, ROOM, (10, 30, 50), slips=0.0),
    "slip": lambda rng: draw_misalignment(rng, SIZE, ROOM, (10, 30, 50), slips=1.0),
    "missing": lambda rng: draw_missing(rng, SIZE, 7),
    "misaligned_missing": lambda rng: draw_misaligned_missing(rng, SIZE, ROOM, (10, 30, 50)),
    "lost": lambda rng: draw_lost(rng, SIZE, ROOM),
    "lost_missing": lambda rng: draw_lost_missing(rng, SIZE, ROOM),
    "out_of_focus": lambda rng: draw_out_of_focus(rng, SIZE, 7),
}
TOGETHER = ("orientation", "step", "lost")


def coded(shape: Triple) -> LabelledPatch:
    """A patch whose voxels say where they are: the image is the label, and the mask leaves every third label out."""
    labels = np.arange(1, np.prod(shape) + 1, dtype=np.uint32).reshape(shape)
    return LabelledPatch(labels.astype(np.float32), labels, labels % 3 != 0)


def drawn(name: str, seed: int) -> tuple[PatchChange, LabelledPatch]:
    """A change of a family, and what it makes of a coded patch."""
    change = FAMILIES[name](np.random.default_rng(seed))
    assert change is not None
    shape = triple([side + more for side, more in zip(SIZE, change.extra, strict=True)])
    return change, change.apply(coded(shape))


@pytest.mark.parametrize("name", FAMILIES)
def test_what_comes_out_has_the_asked_shape_and_the_seed_fixes_it(name: str) -> None:
    """Applied twice a change gives the same, and it leaves what it is given as it is."""
    for seed in range(5):
        change, found = drawn(name, seed)
        given = coded(triple([side + more for side, more in zip(SIZE, change.extra, strict=True)]))
        again, untouched = change.apply(given), coded(given.shape)
        assert found.shape == found.labels.shape == found.known.shape == SIZE
        for kind in ("image", "labels", "known"):
            np.testing.assert_array_equal(getattr(found, kind), getattr(again, kind))
            np.testing.assert_array_equal(getattr(given, kind), getattr(untouched, kind))
        assert all(0 <= more <= room for more, room in zip(change.extra, ROOM, strict=True))


@pytest.mark.parametrize("name", FAMILIES)
@given(seed=st.integers(0, 10_000))
def test_labels_and_mask_move_together(name: str, seed: int) -> None:
    """The mask of a voxel is that of its label, wherever both went; a warp adds what nobody knows."""
    _, found = drawn(name, seed)
    expected = found.labels % 3 != 0
    assert not (found.known & ~expected).any()
    if name != "warp":
        np.testing.assert_array_equal(found.known, expected)


@pytest.mark.parametrize("name", TOGETHER)
@given(seed=st.integers(0, 10_000))
def test_image_and_labels_move_together(name: str, seed: int) -> None:
    """One flip on the image alone would teach the net noise."""
    _, found = drawn(name, seed)
    np.testing.assert_array_equal(found.image, found.labels)


@given(seed=st.integers(0, 10_000))
def test_a_warp_moves_image_and_labels_together(seed: int) -> None:
    """Each coordinate of a linear image is, interpolated, within a voxel of that of the nearest voxel."""
    change = FAMILIES["warp"](np.random.default_rng(seed))
    assert change is not None
    shape = triple([side + more for side, more in zip(SIZE, change.extra, strict=True)])
    labels = coded(shape).labels
    for axis in range(2):
        place = np.broadcast_to(np.arange(shape[axis]).reshape([-1 if a == axis else 1 for a in range(3)]), shape)
        found = change.apply(LabelledPatch(place.astype(np.float32), labels, np.ones(shape, bool)))
        nearest = np.unravel_index(found.labels - 1, shape)[axis]
        off = np.abs(found.image - nearest)[found.known]
        assert off.size == 0 or off.max() <= 0.51


@given(seed=st.integers(0, 10_000))
def test_a_slip_and_blank_or_blurred_sections_leave_the_labels(seed: int) -> None:
    """The net learns to see through what is wrong with an image: its target is what is there."""
    for name in ("slip", "missing", "out_of_focus"):
        change, found = drawn(name, seed)
        given = coded(triple([side + more for side, more in zip(SIZE, change.extra, strict=True)]))
        low = [0, 0]
        if isinstance(change, Misalignment):
            low = [max(0, -step) for step in change.displacement]
        np.testing.assert_array_equal(found.labels, given.labels[low[0] : low[0] + SIZE[0], low[1] : low[1] + SIZE[1]])
        differ = found.image != found.labels
        assert len(np.unique(np.nonzero(differ)[2])) <= {"slip": 1, "missing": 9, "out_of_focus": 7}[name]


@given(seed=st.integers(0, 10_000))
def test_numbers_are_those_of_the_paper(seed: int) -> None:
    """Displacements up to 10, 30 or 50; two to nine missing sections; one to three lost; three that become one."""
    rng = np.random.default_rng(seed)
    shift = draw_misalignment(rng, SIZE, (100, 100, 6), (10, 30, 50), 0.3)
    assert max(map(abs, shift.displacement)) <= 50
    missing = {z for z, _ in draw_missing(rng, (12, 10, 40), 7).areas}
    assert 2 <= len(missing) <= 9
    assert any(z + 1 in missing for z in missing)
    lost = draw_lost(rng, SIZE, ROOM)
    assert lost is not None
    assert 1 <= len(lost.removed) <= 3
    assert lost.blank == ()
    middle = draw_lost_missing(rng, SIZE, ROOM)
    assert middle is not None
    given = coded((SIZE[0], SIZE[1], SIZE[2] + 2))
    found = middle.apply(given)
    (blank,) = middle.blank
    assert (found.image[:, :, blank] == middle.value).all()
    np.testing.assert_array_equal(found.labels[:, :, blank], given.labels[:, :, blank + 1])


def test_shares_of_slips_and_of_families_are_those_asked_for() -> None:
    rng = np.random.default_rng(0)
    slips = sum(not draw_misalignment(rng, SIZE, ROOM, (10,), 0.3).labels_move for _ in range(500))
    assert 110 < slips < 190
    kinds = [draw_exclusive(rng, PAPER, SIZE, ROOM)[0] for _ in range(500)]
    assert set(kinds) == set(PAPER.exclusive)
    assert all(60 < kinds.count(kind) < 140 for kind in PAPER.exclusive)


@given(seed=st.integers(0, 10_000))
def test_families_that_exclude_one_another_never_meet(seed: int) -> None:
    """A step hidden by an independent blank section is ambiguous: the paper's reason for the exclusion."""
    changes = draw_changes(np.random.default_rng(seed), PAPER, (8, 8, 40), SIZE, ROOM)
    from seuron.training.augmentations.misalignment import MisalignedMissing
    from seuron.training.augmentations.sections import BlankSections

    exclusive = (Misalignment, MisalignedMissing, BlankSections, LostSections)
    assert sum(isinstance(change, exclusive) for change in changes.geometry) <= 1
    assert all(more <= room for more, room in zip(changes.extra, ROOM, strict=True))
    shape = triple([side + more for side, more in zip(SIZE, changes.extra, strict=True)])
    found = changes.apply(coded(shape), np.random.default_rng(seed))
    assert found.shape == SIZE
    assert found.image.dtype == np.float32
    assert np.isfinite(found.image).all()


@given(seed=st.integers(0, 10_000))
def test_nothing_needs_more_than_a_volume_has(seed: int) -> None:
    """A volume as large as the patch is trained on as well."""
    changes = draw_changes(np.random.default_rng(seed), PAPER, (8, 8, 40), SIZE, (0, 0, 0))
    assert changes.extra == (0, 0, 0)
    assert changes.apply(coded(SIZE), np.random.default_rng(0)).shape == SIZE


def test_thick_sections_have_sixteen_orientations_and_cubes_forty_eight() -> None:
    """A section 40 nm thick looks nothing like an 8 nm pixel; a 32-voxel side does not fit a 64-voxel one."""

    def orientations(resolution: tuple[float, float, float], size: Triple) -> int:
        found = (Orientation(np.random.default_rng(seed), resolution, size) for seed in range(600))
        return len({(one.axes, one.flips) for one in found})

    assert orientations((8, 8, 40), (8, 8, 4)) == 16
    assert orientations((8, 8, 8), (8, 8, 8)) == 48
    assert orientations((8, 8, 8), (8, 4, 2)) == 8


def test_grey_values_vary_a_lot_but_stay_in_order() -> None:
    """Membranes stay darker than cytoplasm, whatever the microscope."""
    ramp = np.linspace(-2.5, 2.5, 20**3, dtype=np.float32).reshape(20, 20, 20)
    varied = [vary_grey(ramp, np.random.default_rng(seed)) for seed in range(20)]
    assert all(v.dtype == np.float32 and np.isfinite(v).all() for v in varied)
    assert all(np.corrcoef(v.ravel(), ramp.ravel())[0, 1] > 0.85 for v in varied)
    assert np.ptp([v.mean() for v in varied]) > 0.5
    assert max(v.std() for v in varied) > 1.5 * min(v.std() for v in varied)


def test_one_plane_is_recontrasted() -> None:
    image = np.random.default_rng(0).standard_normal((9, 9, 9)).astype(np.float32)
    for seed in range(20):
        changed = recontrast_plane(image, np.random.default_rng(seed)) != image
        assert min(len(np.unique(np.nonzero(changed)[axis])) for axis in range(3)) == 1
