"""Sources of training voxels: HDF5 is stored z, y, x and read as x, y, z."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from seuron.box import Box
from seuron.errors import PermanentError
from seuron.training.volumes import TrainingVolume, hdf5_volume, read_hdf5


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as opened:
        opened["raw"] = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
        opened["labels/ids"] = np.ones((2, 3, 4), np.uint64)
        opened["flat"] = np.ones((3, 4), np.uint8)
    return path


def test_axes_are_turned_to_x_y_z(file: Path) -> None:
    array = read_hdf5(f"{file}:raw")
    assert array.shape == (4, 3, 2)
    assert array.flags.f_contiguous
    assert array[3, 1, 1] == 1 * 12 + 1 * 4 + 3


def test_a_box_is_the_same_voxels_as_of_the_whole(file: Path) -> None:
    box = Box((1, 0, 1), (3, 2, 2))
    np.testing.assert_array_equal(read_hdf5(f"{file}:raw", box), read_hdf5(f"{file}:raw")[box.slices])


def test_a_volume_takes_image_and_labels_of_one_box(file: Path) -> None:
    volume = hdf5_volume("a", f"{file}:raw", f"{file}:labels/ids", (10, 10, 10), Box((0, 0, 0), (4, 2, 2)))
    assert volume.image.shape == volume.labels.shape == (4, 2, 2)
    assert volume.labels.dtype == np.uint32


@pytest.mark.parametrize("end", ["none.h5:raw", "a.h5", "a.h5:nothing", "a.h5:flat", "a.h5:labels"])
def test_what_is_not_there_is_named(file: Path, end: str) -> None:
    with pytest.raises(PermanentError, match="HDF5 source"):
        read_hdf5(str(file.parent / end))


def test_a_box_that_leaves_the_array_is_refused(file: Path) -> None:
    with pytest.raises(PermanentError, match="leaves"):
        read_hdf5(f"{file}:raw", Box((0, 0, 0), (5, 1, 1)))


def test_image_and_labels_must_fit() -> None:
    image, labels = np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 5), np.uint32)
    with pytest.raises(PermanentError, match="same"):
        TrainingVolume("a", image, labels, (10, 10, 10))
    with pytest.raises(PermanentError, match="uint8 and uint32"):
        TrainingVolume("a", image, np.zeros((4, 4, 4), np.int64), (10, 10, 10))
