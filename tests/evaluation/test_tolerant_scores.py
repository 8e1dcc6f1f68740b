"""Scores that leave boundaries out, and labels of another voxel size: equal to a slow twin, whatever the boxes."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from seuron.box import Box
from seuron.errors import DataError, VolumeError
from seuron.evaluation import contingency, evaluate_volumes, scores, volumes
from seuron.evaluation.boundaries import margin_of, without_boundaries
from seuron.volumes import Volume, create_volume

RESOLUTION = (8.0, 8.0, 20.0)
labels = hnp.arrays(np.uint32, st.tuples(*[st.integers(1, 5)] * 3), elements=st.integers(0, 2))


def slow(truth: NDArray[Any], distance: float) -> NDArray[Any]:
    """Each voxel against each other one."""
    found = truth.copy()
    for one, other in itertools.product(np.ndindex(truth.shape), repeat=2):
        apart = sum(((a - b) * nm) ** 2 for a, b, nm in zip(one, other, RESOLUTION, strict=True))
        if truth[one] != truth[other] and apart <= distance**2:
            found[one] = 0
    return found


@given(labels, st.sampled_from([0.0, 7.9, 8.0, 11.4, 20.0, 25.0]))
def test_voxels_near_another_label_are_left_out(truth: NDArray[np.uint32], distance: float) -> None:
    """By the distance of centres along all axes; at 0 none is."""
    assert np.array_equal(without_boundaries(truth, distance, RESOLUTION), slow(truth, distance))


@given(labels, st.sampled_from([8.0, 20.0, 25.0]), st.data())
def test_a_box_with_its_margin_decides_as_the_whole(
    truth: NDArray[np.uint32], distance: float, data: st.DataObject
) -> None:
    """So voxels may be read box by box."""
    cut = data.draw(st.integers(0, truth.shape[0]))
    (margin, _, _) = margin_of(distance, RESOLUTION)
    low, high = truth[: cut + margin], truth[max(0, cut - margin) :]
    parts = without_boundaries(low, distance, RESOLUTION)[:cut], without_boundaries(high, distance, RESOLUTION)
    joined = np.concatenate([parts[0], parts[1][min(cut, margin) :]])
    assert np.array_equal(joined, without_boundaries(truth, distance, RESOLUTION))


def saved(path: Path, voxels: NDArray[Any], resolution: tuple[float, float, float], corner: Any = (0, 0, 0)) -> Volume:
    box = Box.from_shape(corner, voxels.shape)
    volume = create_volume(
        str(path), box, resolution, dtype="uint32", kind="segmentation", block_size=(4, 4, 4), pyramid=False
    )
    volume.write(box, voxels)
    return volume


def test_layers_are_scored_with_a_tolerance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In cells of any size as arrays are; a shift of one voxel costs nothing once boundaries are left out."""
    truth = np.repeat(np.arange(1, 4), 4)[:, None, None] * np.ones((12, 6, 6), np.uint32)
    shifted = np.roll(truth, 1, axis=0)
    shifted[0] = 1
    paths = [saved(tmp_path / name, v.astype(np.uint32), (8, 8, 8)).path for name, v in (("s", shifted), ("t", truth))]
    assert evaluate_volumes(paths[0], paths[1]).voi > 0
    found = evaluate_volumes(paths[0], paths[1], boundary_nm=8)
    assert (found.voi, found.voxels) == (0, 8 * 36)
    assert found == scores(contingency(shifted, without_boundaries(truth, 8, (8, 8, 8)).astype(np.uint32)))
    monkeypatch.setattr(volumes, "CELL", 4)
    assert evaluate_volumes(paths[0], paths[1], boundary_nm=8) == found
    with pytest.raises(DataError, match="the boundary is -1 nm"):
        evaluate_volumes(paths[0], paths[1], boundary_nm=-1)


@pytest.mark.parametrize("factor", [0.5, 2, 3])
def test_labels_of_another_voxel_size_are_sampled(tmp_path: Path, factor: float) -> None:
    """Each voxel of the segmentation has the label that its centre lies in; without `resample` sizes must be equal."""
    random = np.random.default_rng(3)
    segmentation = random.integers(1, 4, (6, 6, 6)).astype(np.uint32)
    size = round(6 / factor)
    truth = random.integers(1, 4, (size,) * 3).astype(np.uint32)
    s = saved(tmp_path / "s", segmentation, (8, 8, 8))
    t = saved(tmp_path / "t", truth, (8 * factor,) * 3)
    at = ((np.arange(6) + 0.5) / factor).astype(int)
    expected = scores(contingency(segmentation, truth[np.ix_(at, at, at)]))
    assert evaluate_volumes(s.path, t.path, resample=True) == expected
    with pytest.raises(VolumeError, match="no scale of"):
        evaluate_volumes(s.path, t.path)


def test_sampled_labels_elsewhere_are_refused(tmp_path: Path) -> None:
    """Both boxes are named, in voxels of the segmentation."""
    ones = np.ones((4, 4, 4), np.uint32)
    s, t = saved(tmp_path / "s", ones, (8, 8, 8)), saved(tmp_path / "t", ones, (16, 16, 16), (40, 0, 0))
    with pytest.raises(VolumeError, match="no tissue in common"):
        evaluate_volumes(s.path, t.path, resample=True)
    with pytest.raises(VolumeError, match="lie inside what both have in common"):
        evaluate_volumes(s.path, s.path, Box.from_shape((2, 2, 2), (4, 4, 4)), resample=True)
