"""The patch that is fastest here: measured once, remembered, and chosen for the image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_nets import ArrayEngine

from seuron.box import Box
from seuron.errors import PermanentError
from seuron.nets.patch_choice import MeasuredPatch, fastest_patch, measured_patches

GIB = 2**30
MEASURED = [
    MeasuredPatch((64, 64, 64), 1.0e6, GIB),
    MeasuredPatch((128, 128, 128), 1.1e6, 2 * GIB),
    MeasuredPatch((192, 192, 96), 1.2e6, 3 * GIB),
]


def engine() -> ArrayEngine:
    return ArrayEngine(lambda patch: np.zeros((1, *patch.shape), np.float32))


def test_a_machine_is_measured_once(tmp_path: Path) -> None:
    """What was measured is read again; a file that is damaged is measured again."""
    first, second, third = engine(), engine(), engine()
    found = measured_patches(first, tmp_path)
    assert first.given > 1
    assert all(row.voxels_per_second > 0 for row in found)
    assert measured_patches(second, tmp_path) == found
    assert second.given == 0
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text()[:40])
    assert measured_patches(third, tmp_path)[0].patch == found[0].patch
    assert third.given > 1


def test_the_fastest_is_by_the_voxels_of_the_image() -> None:
    """Large patches have less overlap, unless the image is so small that they cover more than there is."""
    described = engine().description
    large, thin = Box((0, 0, 0), (1024, 1024, 1024)), Box((0, 0, 0), (1024, 1024, 66))
    assert fastest_patch(MEASURED, large, (32, 32, 32), described, 8 * GIB) == (192, 192, 96)
    even = [replace(row, voxels_per_second=1e6) for row in MEASURED]
    assert fastest_patch(even, large, (16, 16, 48), described, 8 * GIB) == (128, 128, 128)
    assert fastest_patch(even, thin, (16, 16, 16), described, 8 * GIB) == (192, 192, 96)


def test_what_does_not_fit_into_memory_is_left_out() -> None:
    """The fastest of those that fit; with none the message says what the smallest takes."""
    described, image = engine().description, Box((0, 0, 0), (512, 512, 512))
    assert fastest_patch(MEASURED, image, (16, 16, 16), described, GIB) == (64, 64, 64)
    with pytest.raises(PermanentError, match=r"smallest that was measured takes 1\.0 GiB"):
        fastest_patch(MEASURED, image, (16, 16, 16), described, GIB // 2)
    with pytest.raises(PermanentError, match="overlap"):
        fastest_patch(MEASURED, image, (100, 16, 16), described, 8 * GIB)
