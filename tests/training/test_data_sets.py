"""Data sets that a net cannot be trained on: one clear message each, all at once, before the first step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from tiny_trainings import tiny_training

from seuron.box import Box
from seuron.errors import ParameterErrors
from seuron.training.file import TrainingFile
from seuron.training.run import run_training
from seuron.training.volumes import read_volumes
from seuron.volumes import create_volume
from seuron.volumes.volume import Kind

SHAPE = (20, 24, 32)
"""z, y, x, as HDF5 stores them."""


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with everything that is right, and much that is wrong."""
    path = tmp_path_factory.mktemp("cube") / "cube.h5"
    rng = np.random.default_rng(0)
    halves = np.ones(SHAPE, np.uint32)
    halves[:, :, 16:] = 2
    with h5py.File(path, "w") as file:
        file["raw"] = rng.integers(1, 255, SHAPE, np.uint8)
        file["other"] = rng.integers(1, 255, SHAPE, np.uint8)
        file["labels"] = halves
        file["mask"] = (np.indices(SHAPE)[2] > 3).astype(np.uint8)
        file["short"] = halves[:19]
        file["grey16"] = rng.integers(1, 2**16 - 1, SHAPE, np.uint16)
        file["soft"] = halves.astype(np.float32)
        file["minus"] = halves.astype(np.int64) - 2
        file["flat"] = np.full(SHAPE, 7, np.uint8)
        file["empty"] = np.zeros(SHAPE, np.uint32)
        file["one"] = np.ones(SHAPE, np.uint32)
        file["specks"] = np.arange(1, np.prod(SHAPE) + 1, dtype=np.uint32).reshape(SHAPE)
        file["large_ids"] = halves.astype(np.uint64) + 2**40
    return path


def one(cube: Path, **changes: Any) -> dict[str, Any]:
    """A volume of the file; names of datasets are of `cube`."""
    values = {"image": "raw", "labels": "labels", "resolution": [10, 10, 10], **changes}
    return {k: f"{cube}:{v}" if k in ("image", "labels", "mask") else v for k, v in values.items() if v is not None}


def training_of(tmp_path: Path, *volumes: dict[str, Any], **tables: Any) -> TrainingFile:
    return tiny_training(tmp_path / "a.safetensors", volumes=list(volumes), **tables)


#: What is wrong, the volumes, the other tables, and words of the message.
WRONG: dict[str, tuple[list[dict[str, Any]], dict[str, Any], str]] = {
    "no such file": ([{"image": "nothing"}], {}, "no dataset 'nothing'"),
    "shapes": ([{"labels": "short"}], {}, r"different shapes: image \(32, 24, 20\), labels \(32, 24, 19\)"),
    "shape of the mask": ([{"mask": "short"}], {}, "different shapes: .* mask"),
    "type of the image": ([{"image": "grey16"}], {}, "the image is uint16; .*seuron import --window"),
    "type of the labels": ([{"labels": "soft"}], {}, "the labels are float32; they must be integers"),
    "negative ids": ([{"labels": "minus"}], {}, "negative ids, such as -1"),
    "no resolution": ([{"resolution": None}], {}, "`resolution` is missing"),
    "box": ([{"labels": "short", "box": [0, 0, 0, 32, 24, 20]}], {}, "labels: .* empty or leaves"),
    "constant image": ([{"image": "flat"}], {}, "every voxel of the image is 7"),
    "labels without objects": ([{"labels": "empty"}], {}, "the labels have no object"),
    "one object": ([{"labels": "one"}], {}, "the labels are one object, 1"),
    "labels of an image": ([{"labels": "specks"}], {"loss": {"minimum_body": 0}}, "a label of their own"),
    "small bodies": ([{}], {"loss": {"minimum_body": 10**6}}, "nothing is left to learn from"),
    "mask that leaves nothing": ([{"mask": "empty"}], {}, "the mask leaves nothing"),
    "no room for a patch": ([{"box": [0, 0, 0, 32, 24, 8]}], {}, r"hold no patch of \(16, 16, 16\)"),
    "nothing to train on": ([{"part": "validation"}], {}, "no volume is for training"),
    "weights": ([{"weight": 0.0}], {}, "every training volume has weight 0"),
    "patience": ([{}], {"watching": {"patience": 2}}, "`watching.patience` ends a training by its validation part"),
    "one name": ([{"name": "a"}, {"name": "a", "image": "other"}], {}, "a: two volumes are called so"),
    "validation of other voxels": (
        [{}, {"image": "other", "resolution": [4, 4, 40], "part": "validation"}],
        {},
        "voxels of 4 x 4 x 40 nm are validated, of 10 x 10 x 10 nm trained on",
    ),
    "validation overlaps training": (
        [{"box": [0, 0, 0, 32, 24, 17]}, {"box": [0, 0, 3, 32, 24, 20], "part": "validation"}],
        {},
        "the validation part overlaps the training volume",
    ),
    "validation is a copy": ([{}, {"name": "held", "part": "validation"}], {}, "they hold the same voxels"),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_wrong_data_set_has_one_clear_message(cube: Path, tmp_path: Path, name: str) -> None:
    """Nothing is trained on it, and nothing is written."""
    volumes, tables, words = WRONG[name]
    training = training_of(tmp_path, *(one(cube, **changes) for changes in volumes), **tables)
    with pytest.raises(ParameterErrors, match=words) as refused:
        run_training(training)
    assert len(refused.value.problems) == 1
    assert not training.folder.exists()


def test_all_problems_are_told_at_once(cube: Path, tmp_path: Path) -> None:
    """Three wrong volumes are three messages, each with its volume's name."""
    volumes = [
        one(cube, labels="empty", name="first"),
        one(cube, image="flat", name="second"),
        one(cube, labels="soft", name="third"),
    ]
    with pytest.raises(ParameterErrors) as refused:
        read_volumes(training_of(tmp_path, *volumes))
    assert sorted(problem.split(":")[0] for problem in refused.value.problems) == ["first", "second", "third"]


def test_layers_say_their_voxels(cube: Path, tmp_path: Path) -> None:
    """A size that contradicts a layer's own is refused; left out, the layer's is taken, and ids that are large kept."""
    with h5py.File(cube) as file:
        arrays = {name: file[name][:].T for name in ("raw", "large_ids")}
    paths = {}
    kinds: dict[str, Kind] = {"raw": "image", "large_ids": "segmentation"}
    for name, kind in kinds.items():
        array = arrays[name]
        box = Box.from_shape((0, 0, 0), array.shape)
        layer = create_volume(str(tmp_path / name), box, (8.0, 8.0, 40.0), dtype=str(array.dtype), kind=kind)
        layer.write(box, array[..., None])
        paths[name] = layer.path
    plain = {"image": paths["raw"], "labels": paths["large_ids"]}
    (volume,) = read_volumes(training_of(tmp_path, plain))
    assert volume.resolution == (8.0, 8.0, 40.0)
    assert set(np.unique(volume.labels)) == {1, 2}
    with pytest.raises(ParameterErrors, match="`resolution` is 8 x 8 x 8 nm, the image says 8 x 8 x 40"):
        read_volumes(training_of(tmp_path, {**plain, "resolution": [8, 8, 8]}))


def test_masks_and_boxes_are_cut_alike(cube: Path, tmp_path: Path) -> None:
    (volume,) = read_volumes(training_of(tmp_path, one(cube, mask="mask", box=[2, 0, 0, 32, 24, 20])))
    assert volume.mask is not None
    assert volume.image.shape == volume.labels.shape == volume.mask.shape == (30, 24, 20)
    assert not volume.mask[:2].any()
    assert volume.mask[2:].all()
