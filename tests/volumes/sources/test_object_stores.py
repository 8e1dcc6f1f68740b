"""Zarr, N5 and precomputed layers are read in an object store as in a folder, through the same door."""

from __future__ import annotations

import gzip
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import volumes.sources.input_files as make
from chaos.object_store import ObjectStore
from volumes.sources.input_files import VOXEL, Write

from seuron.box import Box
from seuron.errors import PathNotAllowedError
from seuron.storage import Storage
from seuron.volumes.sources import SourceOptions, open_source


@pytest.mark.parametrize(
    ("write", "dataset"),
    [
        (make.ome_zarr(), ""),
        (make.ome_zarr(version="0.5"), ":0"),
        (make.zarr_array(version=3, shards=(8, 8, 8)), ":raw"),
        (make.zarr_array(attributes={"resolution": [40, 4, 4]}), ""),
        (make.n5(resolution=VOXEL), ":vol/s0"),
        (make.precomputed(), ""),
    ],
)
def test_what_is_read_in_a_bucket_is_what_lies_in_the_folder(
    tmp_path: Path, store: ObjectStore, write: Write, dataset: str
) -> None:
    """Voxels, axes, size and corner are the same."""
    folder = Path(write(tmp_path))
    address = store.url("bucket", uuid4().hex)
    for path in folder.rglob("*"):
        if path.is_file():
            compressed = path.suffix == ".gz" and folder.name == "layer"
            content = gzip.decompress(path.read_bytes()) if compressed else path.read_bytes()
            name = path.relative_to(folder).as_posix().removesuffix(".gz" if compressed else "")
            Storage(address).put(name, content)
    options = SourceOptions(resolution_nm=VOXEL)
    with open_source(f"{folder}{dataset}", options) as here, open_source(f"{address}{dataset}", options) as there:
        box = Box.from_shape((1, 2, 1), [size - 2 for size in here.shape])
        np.testing.assert_array_equal(there.read(box), here.read(box))
        assert (there.axes, there.resolution_nm, there.corner_nm) == (here.axes, here.resolution_nm, here.corner_nm)
        assert (there.format, there.shape, there.dtype) == (here.format, here.shape, here.dtype)


def test_addresses_that_are_not_allowed_are_not_asked() -> None:
    """Web addresses are read from hosts that the owner lists, and no other."""
    with pytest.raises(PathNotAllowedError, match="SEURON_HTTP_HOSTS"):
        open_source("https://example.org/a.zarr")
