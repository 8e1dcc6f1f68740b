"""HDF5 in CREMI's layout: `volumes/raw` or `volumes/labels/neuron_ids`, z, y, x, with resolution and offset."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from seuron.box import Box
from seuron.volumes.exports.target import ExportedArray, Target

#: Voxels of a chunk along each axis: a slab of sections and a cut across them both read few.
CHUNK = 64
NAMES = {"image": "volumes/raw", "segmentation": "volumes/labels/neuron_ids"}


@contextmanager
def open_hdf5(path: Path, array: ExportedArray) -> Iterator[Target]:
    """An HDF5 file with one array in CREMI's place for it; labels are packed by gzip, images are not.

    Channels stand first, as `axes` says.
    """
    import h5py

    shape = array.shape[::-1] if array.channels == 1 else (array.channels, *array.shape[::-1])
    with h5py.File(path, "w") as file:
        file.attrs["file_format"] = "0.2"
        dataset = file.create_dataset(
            NAMES[array.kind],
            shape,
            array.dtype,
            chunks=tuple(min(CHUNK, size) for size in shape),
            compression="gzip" if array.kind == "segmentation" else None,
            compression_opts=1 if array.kind == "segmentation" else None,
            shuffle=array.kind == "segmentation",
        )
        dataset.attrs["resolution"] = array.resolution_nm[::-1]
        dataset.attrs["offset"] = array.offset_nm[::-1]
        dataset.attrs["units"] = "nm"
        dataset.attrs["axes"] = "zyx" if array.channels == 1 else "czyx"

        def write(box: Box, voxels: NDArray[Any]) -> None:
            if array.channels == 1:
                dataset[box.slices[::-1]] = voxels[..., 0].T
            else:
                dataset[(slice(None), *box.slices[::-1])] = voxels.T

        yield Target(write)
