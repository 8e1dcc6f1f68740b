"""Where training voxels come from: arrays with labels, HDF5 files, synthetic volumes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from seuron.box import Box
from seuron.errors import PermanentError
from seuron.nets.normalisation import Normalisation, measure_normalisation


@dataclass(frozen=True)
class TrainingVolume:
    """An image with dense labels.

    Attributes:
        name: for messages and the log.
        image: uint8 `(X, Y, Z)`.
        labels: uint32 `(X, Y, Z)`, one id for each neurite.
        resolution: nm of a voxel along x, y, z. Axes are swapped in augmentation only where equal.
        zero: what label 0 means: `boundary` (membrane, extracellular) or `unknown` (left out).
        weight: how often patches come from here, relative to the other volumes.
    """

    name: str
    image: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint32]
    resolution: tuple[float, float, float]
    zero: Literal["boundary", "unknown"] = "boundary"
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape != self.labels.shape:
            raise PermanentError(
                f"training volume {self.name}: the image is {self.image.shape}, the labels are "
                f"{self.labels.shape}; both must be the same (X, Y, Z)"
            )
        if self.image.dtype != np.uint8 or self.labels.dtype != np.uint32:
            raise PermanentError(
                f"training volume {self.name}: got image {self.image.dtype}, labels "
                f"{self.labels.dtype}; convert to uint8 and uint32"
            )

    def normalisation(self) -> Normalisation:
        """The volume's own scale, measured as a run measures it."""
        return measure_normalisation(self.image)


def read_hdf5(source: str, box: Box | None = None) -> npt.NDArray[np.generic]:
    """The array of `FILE.h5:dataset`, stored `(z, y, x)`, as `(X, Y, Z)` in Fortran order.

    Args:
        source: path and dataset, for example `cube.h5:labels/neuron_ids`.
        box: what to read, in x, y, z; everything if None.

    Raises:
        PermanentError: no such file or dataset, not 3D, or the box leaves the array.
    """
    import h5py  # Only here: most runs read no HDF5.

    path, colon, dataset = source.rpartition(":")
    if not colon or not Path(path).is_file():
        raise PermanentError(f"HDF5 source {source!r}: no such file; write FILE.h5:dataset")
    with h5py.File(path, "r") as file:
        if dataset not in file or not isinstance(file[dataset], h5py.Dataset):
            raise PermanentError(f"HDF5 source {source!r}: no dataset {dataset!r}; it has {list(file)}")
        stored = file[dataset]
        if stored.ndim != 3:
            raise PermanentError(f"HDF5 source {source!r}: got {stored.ndim} axes; only (z, y, x) is read")
        whole = Box.from_shape((0, 0, 0), stored.shape[::-1])
        box = box or whole
        if not whole.contains(box) or box.voxels == 0:
            raise PermanentError(f"HDF5 source {source!r}: box {box} is empty or leaves {whole}")
        array: npt.NDArray[np.generic] = np.asarray(stored[box.slices[::-1]])
    return array.T


def hdf5_volume(
    name: str,
    image: str,
    labels: str,
    resolution: tuple[float, float, float],
    box: Box | None = None,
    zero: Literal["boundary", "unknown"] = "boundary",
    weight: float = 1.0,
) -> TrainingVolume:
    """A training volume from two `FILE.h5:dataset` sources; only `box` is read."""
    return TrainingVolume(
        name,
        read_hdf5(image, box).astype(np.uint8, copy=False),
        read_hdf5(labels, box).astype(np.uint32, copy=False),
        resolution,
        zero,
        weight,
    )
