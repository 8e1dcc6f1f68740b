"""Scores: equal to scikit-image, right at the edges, and the same from layers as from arrays."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from skimage.metrics import adapted_rand_error, variation_of_information

from seuron.box import Box, Triple
from seuron.errors import DataError, VolumeError
from seuron.evaluation import Scores, compared_text, contingency, evaluate_volumes, labels_like, scores
from seuron.volumes import create_volume, open_volume
from seuron.volumes.pyramid import build_pyramid

labels = hnp.arrays(np.int64, st.just((3, 4, 5)), elements=st.integers(0, 5))


@given(labels, labels)
def test_scores_equal_scikit_image(segmentation: NDArray[np.int64], truth: NDArray[np.int64]) -> None:
    """With truth 0 ignored and prediction 0 one segment, as its ignore settings do."""
    assume(truth.any())
    found = scores(contingency(segmentation, truth))
    split, merged = variation_of_information(truth, segmentation, ignore_labels=(0,))
    assert found.voi_split == pytest.approx(split, abs=1e-12)
    assert found.voi_merge == pytest.approx(merged, abs=1e-12)
    with np.errstate(invalid="ignore", divide="ignore"):
        # It returns recall before precision, against its documentation (scikit-image issue 6485).
        error, recall, precision = adapted_rand_error(truth, segmentation, ignore_labels=(0,))
    for mine, theirs in (
        (found.adapted_rand_error, error),
        (found.adapted_rand_precision, precision),
        (found.adapted_rand_recall, recall),
    ):
        if not math.isnan(theirs):  # no pairs: undefined there, best here
            assert mine == pytest.approx(theirs, abs=1e-12)


@given(labels, labels, st.permutations(range(1, 6)))
def test_names_of_segments_do_not_matter(
    segmentation: NDArray[np.int64], truth: NDArray[np.int64], names: list[int]
) -> None:
    """Renaming segments changes no score; only 0 has a meaning."""
    assume(truth.any())
    renamed = np.array([0, *names])[segmentation]
    a, b = scores(contingency(segmentation, truth)), scores(contingency(renamed, truth))
    assert (a.voi_split, a.voi_merge) == pytest.approx((b.voi_split, b.voi_merge), abs=1e-12)
    assert a.adapted_rand_error == pytest.approx(b.adapted_rand_error, abs=1e-12)


def test_a_perfect_segmentation_scores_perfectly() -> None:
    """No bits, no error, nothing listed."""
    truth = np.repeat(np.arange(4), 10)
    found = scores(contingency(truth + 10, truth))
    assert (found.voi, found.adapted_rand_error, found.worst_merges, found.worst_splits) == (0, 0, [], [])
    assert (found.voxels, found.ignored_voxels, found.truths, found.segments) == (30, 10, 3, 3)


def test_splits_and_merges_are_told_apart() -> None:
    """One object in four pieces is two bits of split; four in one are two bits of merge."""
    pieces, one = np.repeat(np.arange(1, 5), 100), np.ones(400, int)
    split, merged = scores(contingency(pieces, one)), scores(contingency(one, pieces))
    assert (split.voi_split, split.voi_merge) == (2, 0)
    assert (merged.voi_split, merged.voi_merge) == (0, 2)
    assert (split.adapted_rand_precision, merged.adapted_rand_recall) == (1, 1)
    assert split.adapted_rand_recall == merged.adapted_rand_precision == pytest.approx(0.248, abs=1e-3)


def test_leaving_voxels_out_costs() -> None:
    """Background of the segmentation is one segment: an empty answer is one big merge."""
    truth = np.repeat(np.arange(1, 5), 100)
    found = scores(contingency(np.zeros(400, int), truth))
    assert (found.voi_merge, found.segments, found.background_voxels) == (2, 0, 400)


def test_the_worst_objects_come_first_and_add_up() -> None:
    """Bits of all objects sum to the score, the biggest error leads, ties go by id."""
    truth = np.array([1] * 60 + [2] * 40 + [3] * 10 + [4] * 10)
    found = scores(contingency(np.array([9] * 100 + [8] * 20), truth))
    assert [error.id for error in found.worst_merges] == [9, 8]
    assert sum(error.bits for error in found.worst_merges) == pytest.approx(found.voi_merge)
    assert [(o.id, o.voxels) for o in found.worst_merges[0].overlaps] == [(1, 60), (2, 40)]
    assert [o.id for o in found.worst_merges[1].overlaps] == [3, 4]
    assert found.worst_splits == []


def test_bodies_of_ten_billion_voxels_do_not_overflow() -> None:
    """Pairs of voxels outgrow 64 bits long before voxels do."""
    table = contingency(np.array([1, 1, 2]), np.array([1, 2, 2]))
    huge = type(table)(table.segments, table.truths, table.voxels * 10**12)
    assert scores(huge).adapted_rand_error == pytest.approx(1 - 2 * 3 / (5 + 5), abs=1e-9)
    assert scores(huge).voi == pytest.approx(4 / 3)


def test_a_box_without_ground_truth_is_refused() -> None:
    """Dividing by nothing would be a score of NaN."""
    with pytest.raises(DataError, match="none of the 8 voxels"):
        scores(contingency(np.ones(8, int), np.zeros(8, int)))


def test_scores_are_json_and_come_back() -> None:
    """The report, the command and the run's folder share this form."""
    found = scores(contingency(np.array([1, 2, 2]), np.array([1, 1, 2])))
    assert Scores.model_validate_json(found.model_dump_json()) == found
    assert json.loads(found.model_dump_json())["voi_split"] == found.voi_split


def _layer(path: Path, box: Box, voxels: NDArray[np.uint64], resolution: float = 10) -> str:
    volume = create_volume(
        str(path), box, (resolution,) * 3, dtype="uint64", kind="segmentation", block_size=(16, 16, 16)
    )
    volume.write(box, voxels)
    return volume.path


def _blobs(shape: Triple, seed: int) -> NDArray[np.uint64]:
    cells = np.random.default_rng(seed).integers(0, 12, [-(-s // 8) for s in shape]).astype(np.uint64)
    return cells.repeat(8, 0).repeat(8, 1).repeat(8, 2)[tuple(slice(s) for s in shape)]


def test_layers_score_as_their_arrays_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Different boxes and blocks: what both have is scored, in cells, and equals one table of the arrays."""
    monkeypatch.setattr("seuron.evaluation.volumes.CELL", 20)
    wide, narrow = Box((0, 0, 0), (70, 50, 40)), Box((10, 5, -3), (80, 40, 33))
    a, b = _blobs(wide.shape, 0), _blobs(narrow.shape, 1)
    common = wide.intersect(narrow)
    expected = scores(contingency(a[common.within(wide)], b[common.within(narrow)]))
    paths = _layer(tmp_path / "a", wide, a), _layer(tmp_path / "b", narrow, b)
    assert evaluate_volumes(*paths) == expected
    part = Box((20, 10, 5), (61, 33, 30))
    assert evaluate_volumes(*paths, box=part) == scores(contingency(a[part.within(wide)], b[part.within(narrow)]))


def test_coarse_scales_can_be_scored_when_their_grids_coincide(tmp_path: Path) -> None:
    """A quick look at scale 1 is allowed where both pool the same cells, refused where they do not."""
    box = Box((0, 0, 0), (80, 32, 32))
    paths = [_layer(tmp_path / "a", box, _blobs(box.shape, 0)), _layer(tmp_path / "b", box, _blobs(box.shape, 1))]
    odd = _layer(tmp_path / "odd", box.shifted((1, 0, 0)), _blobs(box.shape, 1))
    for path in (*paths, odd):
        build_pyramid(open_volume(path))
    assert evaluate_volumes(paths[0], paths[1], mip=1).voxels > 0
    with pytest.raises(VolumeError, match="score scale 0"):
        evaluate_volumes(paths[0], odd, mip=1)


def test_layers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """No common voxels, another resolution, a box outside: each has its own words."""
    box = Box((0, 0, 0), (20, 20, 20))
    here = _layer(tmp_path / "here", box, _blobs(box.shape, 0))
    far = _layer(tmp_path / "far", box.shifted((100, 0, 0)), _blobs(box.shape, 0))
    coarse = _layer(tmp_path / "coarse", box, _blobs(box.shape, 0), resolution=20)
    with pytest.raises(VolumeError, match="no voxel in common"):
        evaluate_volumes(here, far)
    with pytest.raises(VolumeError, match="resolution"):
        evaluate_volumes(here, coarse)
    with pytest.raises(VolumeError, match="must hold voxels"):
        evaluate_volumes(here, here, box=Box((0, 0, 0), (21, 20, 20)))


@pytest.mark.parametrize("dtype", [np.uint64, np.uint32, np.int64, np.int32])
def test_reserved_ids_are_no_objects(dtype: type[np.integer]) -> None:
    """Voxels marked -1, -2 or -3 (not labelled, outside, ignored) counted as objects, and doubled the scores."""
    random = np.random.default_rng(0)
    truth = random.integers(1, 5, (12, 10, 8)).astype(dtype)
    segmentation = np.where(random.random(truth.shape) < 0.9, truth, 7).astype(np.uint64)
    marked, zero = truth.copy(), truth.copy()
    for number, part in enumerate((slice(0, 3), slice(3, 5), slice(5, 6)), start=1):
        marked[part], zero[part] = np.array(-number).astype(dtype), 0
    found = scores(contingency(segmentation, marked))
    assert found == scores(contingency(segmentation, zero))
    assert found.ignored_voxels == 6 * 10 * 8
    assert found.truths == 4


def test_small_types_spare_no_ids() -> None:
    """Of 256 ids none is reserved, and what is below -3 is no mark."""
    truth = np.array([1, 255, 254, 253], np.uint8)
    assert scores(contingency(truth, truth)).truths == 4
    with pytest.raises(DataError, match="negative id -4"):
        contingency(truth, np.array([1, 2, 3, -4], np.int16))


def test_what_was_compared_is_said(tmp_path: Path) -> None:
    """Boxes of another place or size were scored on what they share without a word."""
    assert compared_text(Box((5, 0, 0), (10, 10, 10)), Box((0, 0, 0), (10, 10, 10)), Box((5, 0, 0), (25, 10, 10))) == (
        "Compared in [5..10, 0..10, 0..10]: 50.00% of the segmentation ([0..10, 0..10, 0..10]) and 25.00% of the "
        "ground truth ([5..25, 0..10, 0..10])."
    )
    whole = Box((0, 0, 0), (10, 10, 10))
    assert "all of the segmentation and all of the ground truth" in compared_text(whole, whole, whole)


def test_an_image_is_no_ground_truth(tmp_path: Path) -> None:
    """Grey values were scored as 256 objects."""
    box = Box((0, 0, 0), (16, 16, 16))
    grey = np.random.default_rng(0).integers(0, 256, box.shape, np.uint8)
    image = create_volume(str(tmp_path / "image"), box, (8, 8, 8), dtype="uint8", pyramid=False)
    image.write(box, grey)
    labels = create_volume(str(tmp_path / "labels"), box, (8, 8, 8), dtype="uint32", kind="segmentation", pyramid=False)
    labels.write(box, grey.astype(np.uint32))
    for pair in ((labels.path, image.path), (image.path, labels.path)):
        with pytest.raises(VolumeError, match="of the type image"):
            evaluate_volumes(*pair)


def test_labels_are_opened_at_the_scale_of_the_segmentation(tmp_path: Path) -> None:
    """A scale of the segmentation was taken for one of the labels too, whatever their voxels."""
    box, random = Box((0, 0, 0), (64, 64, 64)), np.random.default_rng(0)
    blobs = np.kron(random.integers(1, 6, (8, 8, 8)), np.ones((8, 8, 8))).astype(np.uint32)
    kind: dict[str, Any] = {"dtype": "uint32", "kind": "segmentation"}
    fine = create_volume(str(tmp_path / "fine"), Box(box.minimum, (128, 128, 128)), (4, 4, 4), **kind)
    fine.write(fine.box, np.kron(blobs, np.ones((2, 2, 2))).astype(np.uint32))
    build_pyramid(open_volume(fine.path))
    coarse = create_volume(str(tmp_path / "coarse"), box, (8, 8, 8), pyramid=False, **kind)
    coarse.write(box, blobs)
    assert labels_like(open_volume(fine.path, 1), coarse.path).mip == 0
    assert labels_like(coarse, fine.path).mip == 1
    assert evaluate_volumes(fine.path, coarse.path, mip=1).voi == 0
    assert evaluate_volumes(coarse.path, fine.path).voi == 0
    with pytest.raises(VolumeError, match=r"no scale of .* has it: those have \(8"):
        evaluate_volumes(fine.path, coarse.path)
