"""From image to the outputs of a net: real nets, masks, views, precision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from small_nets import ArrayEngine, save_small_net

from seuron.box import Box, Triple
from seuron.errors import DataError, PermanentError
from seuron.nets.augmented_views import views_of
from seuron.nets.engines import Engine, load_engine
from seuron.nets.models import Channel
from seuron.nets.normalisation import Normalisation, SectionNormalisation
from seuron.nets.patches import PatchGrid
from seuron.nets.predict import PatchPredictor, predict_volume, to_uint8

SHAPE = (24, 20, 18)
PATCH, OVERLAP = (12, 12, 12), (4, 4, 4)
AFFINITIES = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))


@pytest.fixture(scope="module")
def image() -> npt.NDArray[np.uint8]:
    made = np.random.default_rng(1).integers(1, 255, SHAPE).astype(np.uint8)
    made[14:] = 0  # masked: whole patches of it are even
    return made


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    path = save_small_net(tmp_path_factory.mktemp("net") / "small.safetensors")
    return load_engine(path, precision="fp32", device="cpu")


def test_outputs_are_in_range_and_differ(engine: Engine, image: npt.NDArray[np.uint8]) -> None:
    """What is compared in other tests is no constant."""
    whole = predict_volume(engine, image, patch_size=PATCH, overlap=OVERLAP)
    assert whole.shape == (*SHAPE, 3)
    assert whole.dtype == np.float32
    assert 0 <= whole.min() < 0.2 < 0.8 < whole.max() <= 1 + 1e-6


def test_even_patches_are_remembered_and_batches_change_nothing(engine: Engine, image: npt.NDArray[np.uint8]) -> None:
    """A patch of one grey value is computed once; a predictor that has seen others, in batches, gives the same sums."""
    box = Box((0, 0, 0), SHAPE)
    grid = PatchGrid(box, PATCH, OVERLAP)
    found = []
    for batch, order in ((1, 1), (3, -1)):
        predictor = PatchPredictor(engine, grid, batch=batch)
        sums = np.zeros((3, *SHAPE), np.int32)
        predictor.add(list(grid.meeting(box).places())[::order], image, box, sums, box)
        assert (predictor.counts.run, predictor.counts.even) == (9, 3)
        found.append(sums)
    np.testing.assert_array_equal(*found)


def test_masked_patches_are_left_out(engine: Engine, image: npt.NDArray[np.uint8]) -> None:
    """Where nothing of a patch is kept it is not computed; else masked voxels are as if they were 0."""
    box = Box((0, 0, 0), SHAPE)
    grid = PatchGrid(box, PATCH, OVERLAP)
    kept = np.zeros(SHAPE, np.bool_)
    kept[:10] = True
    predictor, other = PatchPredictor(engine, grid), PatchPredictor(engine, grid)
    sums, expected = np.zeros((2, 3, *SHAPE), np.int32)
    predictor.add(grid.meeting(box).places(), image, box, sums, box, kept)
    seen = [i for i in grid.meeting(box).places() if grid.patch(i).minimum[0] < 10]
    other.add(seen, np.where(kept, image, 0), box, expected, box)
    np.testing.assert_array_equal(sums, expected)
    assert predictor.counts.masked == 12 - len(seen) > 0


def test_crop_and_blend_agree_away_from_seams(engine: Engine, image: npt.NDArray[np.uint8]) -> None:
    """Where one patch reaches, both ways give what the net says there."""
    blended, cropped = (
        predict_volume(engine, image, patch_size=PATCH, overlap=OVERLAP, blending=way) for way in ("blend", "crop")
    )
    grid = PatchGrid.fitted(Box((0, 0, 0), SHAPE), PATCH, OVERLAP, step=(2, 2, 2), least=(2, 2, 2))
    alone = tuple(slice(0, s) for s in grid.stride)
    np.testing.assert_allclose(blended[alone], cropped[alone], atol=1e-6)
    assert np.abs(blended - cropped).max() > 0.01


def affinity_like(patch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Affinities that mirror and turn with the image: of each voxel and the one before it along x, y, z."""
    return np.stack([1 / (1 + np.abs(patch - np.roll(patch, 1, axis))) for axis in range(3)])


@pytest.mark.parametrize(("augmentation", "views"), [("flips", 8), ("all", 16)])
def test_views_of_a_net_without_bias_agree(augmentation: str, views: int) -> None:
    """Affinities that mirror with the image are the same from every view, but for a patch's first voxels.

    A shift that is forgotten, or channels that are not exchanged, would show everywhere.
    """
    engine = ArrayEngine(affinity_like, *(Channel(name=f"a{i}", offset=o) for i, o in enumerate(AFFINITIES)))
    image = np.random.default_rng(3).integers(1, 255, (10, 10, 10)).astype(np.uint8)
    plain = predict_volume(engine, image, patch_size=(10, 10, 10), overlap=(0, 0, 0))
    assert engine.given == 1
    mean = predict_volume(engine, image, patch_size=(10, 10, 10), overlap=(0, 0, 0), augmentation=augmentation)
    assert engine.given == 1 + views
    np.testing.assert_allclose(mean[1:, 1:, 1:], plain[1:, 1:, 1:], atol=1e-6)


@pytest.mark.parametrize(
    ("augmentation", "offsets", "words"),
    [
        ("flips", ((-1, -1, 0),), "not along one axis"),
        ("all", ((-1, 0, 0), None), r"no affinity with offset \(0, -1, 0\)"),
        ("twice", (None,), "use 'none', 'flips' or 'all'"),
    ],
)
def test_impossible_views_are_refused(augmentation: str, offsets: tuple[Triple | None, ...], words: str) -> None:
    """Affinities whose mirror image the net does not have."""
    with pytest.raises(PermanentError, match=words):
        views_of(augmentation, offsets)


def test_sections_have_scales_of_their_own() -> None:
    """A net sees a section of half the contrast as it sees the others; sections beyond have the nearest scale."""
    image = np.random.default_rng(3).integers(1, 255, (8, 8, 6)).astype(np.uint8)
    scales = tuple(Normalisation(100.0 + z, 10.0 + z) for z in range(4))
    found = SectionNormalisation(11, scales).apply(image, first_section=10)
    for z, scale in enumerate((scales[0], *scales, scales[-1])):
        np.testing.assert_allclose(found[:, :, z], scale.apply(image[:, :, z]), rtol=1e-6)


def test_nan_names_channel_voxel_and_patch() -> None:
    """The first voxel of an output that is not a number is named, in voxels of the image."""

    def broken(patch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        values = np.zeros((1, *patch.shape), np.float32)
        values[0, 2, 3, 1] = np.nan
        return values

    box = Box.from_shape((5, -3, 11), (8, 8, 8))
    grid = PatchGrid(box, (8, 8, 8), (0, 0, 0))
    predictor = PatchPredictor(ArrayEngine(broken), grid)
    image = np.random.default_rng(1).integers(0, 255, box.shape).astype(np.uint8)
    with pytest.raises(DataError, match=r"gives nan for channel 0 at voxel \(7, 0, 12\), in the patch \[5\.\.13"):
        predictor.add([(0, 0, 0)], image, box, np.zeros((1, *box.shape), np.int32), box)


def test_channels_are_chosen(engine: Engine, image: npt.NDArray[np.uint8]) -> None:
    """Sums of some channels are those of all, without the others."""
    box = Box((0, 0, 0), SHAPE)
    grid = PatchGrid(box, PATCH, OVERLAP)
    every, some = PatchPredictor(engine, grid), PatchPredictor(engine, grid, channels=(0, 2))
    whole, part = np.zeros((3, *SHAPE), np.int32), np.zeros((2, *SHAPE), np.int32)
    every.add([(0, 0, 0)], image, box, whole, box)
    some.add([(0, 0, 0)], image, box, part, box)
    np.testing.assert_array_equal(part, whole[[0, 2]])


def test_uint8_is_the_rounded_product() -> None:
    """Values between two bytes go to the nearer one."""
    np.testing.assert_array_equal(to_uint8(np.array([0, 0.5 / 255 - 1e-6, 0.7, 1.0], np.float32)), [0, 0, 178, 255])


def test_a_grid_that_does_not_fit_is_refused(engine: Engine, image: npt.NDArray[np.uint8]) -> None:
    """An overlap as large as the patch leaves no stride."""
    grid = PatchGrid(Box((0, 0, 0), SHAPE), PATCH, OVERLAP)
    with pytest.raises(PermanentError, match="overlap"):
        replace(grid, overlap=(12, 4, 4))
    predictor = PatchPredictor(engine, replace(grid, patch_size=(13, 12, 12)))
    with pytest.raises(PermanentError, match="patch of 13 voxels along x"):
        predictor.add([(0, 0, 0)], image, grid.image, np.zeros((3, *SHAPE), np.int32), grid.image)
