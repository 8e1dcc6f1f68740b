"""Section defects: each changes the sections it names, in the way it says, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from seuron.errors import PermanentError
from seuron.synth import Defects, SyntheticVolume, synthesize
from seuron.synth.defects import CRACK_GREY, FOLD_GREY, apply_defects

SHAPE, SEED = (96, 88, 8), 13


@pytest.fixture(scope="module")
def clean() -> SyntheticVolume:
    return synthesize(SHAPE, SEED)


def damaged(defects: Defects) -> SyntheticVolume:
    return synthesize(SHAPE, SEED, defects=defects)


@pytest.mark.parametrize(
    "defects",
    [
        Defects(shifted=(2, 5)),
        Defects(missing=(2, 5)),
        Defects(folded=(2, 5)),
        Defects(cracked=(2, 5)),
        Defects(recontrasted=(2, 5)),
    ],
)
def test_only_the_named_sections_change_and_labels_never(clean: SyntheticVolume, defects: Defects) -> None:
    """Labels say where tissue is after repair, so a defect must not touch them."""
    made = damaged(defects)
    changed = np.flatnonzero((made.image != clean.image).any(axis=(0, 1)))
    np.testing.assert_array_equal(changed, [2, 5])
    np.testing.assert_array_equal(made.labels, clean.labels)


def test_a_shift_is_the_displacement_that_is_reported(clean: SyntheticVolume) -> None:
    """Alignment is scored against the displacement: it must be the true one."""
    made = damaged(Defects(shifted=(1, 6), shift_px=5))
    for z in (1, 6):
        dx, dy = (int(step) for step in made.displacement[z])
        assert 0 < max(abs(dx), abs(dy)) <= 5
        source = clean.image[max(0, -dx) : SHAPE[0] - max(0, dx), max(0, -dy) : SHAPE[1] - max(0, dy), z]
        target = made.image[max(0, dx) : SHAPE[0] + min(0, dx), max(0, dy) : SHAPE[1] + min(0, dy), z]
        np.testing.assert_array_equal(target, source)
    assert not made.displacement[[0, 2, 3, 4, 5, 7]].any()


def test_a_missing_section_is_black() -> None:
    made = damaged(Defects(missing=(3,)))
    assert not made.image[..., 3].any()
    assert made.image[..., 2].any()


def test_a_fold_is_a_dark_band_across_and_pulls_tissue_towards_it(clean: SyntheticVolume) -> None:
    made = damaged(Defects(folded=(4,), fold_px=6))
    section = made.image[..., 4].astype(float)
    dark = section <= FOLD_GREY + 8
    assert dark.sum() > 2 * min(SHAPE[:2])
    assert (clean.image[..., 4] <= FOLD_GREY + 8).mean() < 0.01
    elsewhere = ~dark
    assert np.abs(section - clean.image[..., 4])[elsewhere].mean() > 5


def test_a_crack_is_bright_and_leaves_the_rest(clean: SyntheticVolume) -> None:
    made = damaged(Defects(cracked=(4,), crack_px=5))
    bright = made.image[..., 4] >= CRACK_GREY - 10
    assert 2 * min(SHAPE[:2]) < bright.sum() < 0.3 * bright.size
    same = made.image[..., 4] == clean.image[..., 4]
    assert same.mean() > 0.5


def test_contrast_and_brightness_are_what_was_asked(clean: SyntheticVolume) -> None:
    made = damaged(Defects(recontrasted=(2,), contrast=0.5, brightness=20))
    before, after = clean.image[..., 2].astype(float), made.image[..., 2].astype(float)
    assert after.std() == pytest.approx(0.5 * before.std(), rel=0.03)
    assert after.mean() == pytest.approx(before.mean() + 20, abs=1)


def test_a_defect_does_not_depend_on_the_others(clean: SyntheticVolume) -> None:
    """Adding one more damaged section to a benchmark keeps the ones that were there."""
    one, _ = apply_defects(clean.image, Defects(cracked=(4,)), SEED)
    two, _ = apply_defects(clean.image, Defects(cracked=(1, 4), missing=(0,)), SEED)
    np.testing.assert_array_equal(one[..., 4], two[..., 4])


@pytest.mark.parametrize(
    "defects", [Defects(missing=(8,)), Defects(shifted=(-1,)), Defects(fold_px=0), Defects(shift_px=0)]
)
def test_impossible_defects_are_refused_by_name(defects: Defects) -> None:
    with pytest.raises(PermanentError, match="defects"):
        damaged(defects)
