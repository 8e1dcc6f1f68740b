"""One array in the layout of Zarr 2, Zarr 3 or N5: its metadata, the files of its chunks, and its voxels.

tensorstore decodes. Of a Zarr array on this machine it reads the files itself; those of N5, and of one in an object
store, come through `Storage`, so that addresses, names of stores and credentials are the same for every format. What
tensorstore does not decode (some codecs), and parts of shards in object stores, zarr-python reads (`zarr_store.py`).

Indices are in the array's own order, as its driver gives it: Zarr's slowest axis first, N5's x first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seuron.errors import VolumeError
from seuron.storage import Storage, local_folder

Driver = Literal["zarr", "zarr3", "n5"]
Slices = tuple[slice, ...]
#: The file of an array's metadata, by tensorstore's driver.
METADATA_FILES: dict[Driver, str] = {"zarr": ".zarray", "zarr3": "zarr.json", "n5": "attributes.json"}
#: What N5 itself says of an array. tensorstore takes `units` and `resolution` for its own where they are there.
N5_MEMBERS = ("dimensions", "blockSize", "dataType", "compression")


@dataclass(frozen=True)
class StoredArray:
    """An array in a folder of its own.

    Attributes:
        path: the folder.
        driver: what tensorstore calls the layout.
        metadata: the content of its metadata file.
    """

    path: str
    driver: Driver
    metadata: Mapping[str, Any]

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Its size along each axis."""
        return _sizes(self, self.metadata.get("dimensions" if self.driver == "n5" else "shape"))

    @cached_property
    def file_shape(self) -> tuple[int, ...]:
        """The size of what one file holds: a chunk, or a shard."""
        if self.driver == "zarr3":
            grid = self.metadata.get("chunk_grid") or {}
            if grid.get("name") != "regular":
                raise VolumeError(f"{self.path}: its chunk grid is {grid.get('name')!r}; only regular ones can be read")
            return _sizes(self, (grid.get("configuration") or {}).get("chunk_shape"))
        return _sizes(self, self.metadata.get("blockSize" if self.driver == "n5" else "chunks"))

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The type of its voxels in memory."""
        names = {"zarr": "dtype", "zarr3": "data_type", "n5": "dataType"}
        word = self.metadata.get(names[self.driver])
        try:
            found = np.dtype(word) if isinstance(word, str) else None
        except TypeError:
            found = None
        if found is None or found.kind not in "buif":
            raise VolumeError(f"{self.path}: its data type is {word!r}; voxels are integers, floats or bools")
        return found.newbyteorder("=")

    @property
    def is_sharded(self) -> bool:
        """Whether its files are shards of several chunks."""
        codecs = self.metadata.get("codecs", ()) if self.driver == "zarr3" else ()
        return any(isinstance(codec, Mapping) and codec.get("name") == "sharding_indexed" for codec in codecs)

    @property
    def form(self) -> dict[str, Any]:
        """What the bytes of its files mean: all of its metadata but for its size and what people write beside them."""
        return {
            k: v
            for k, v in self._own_metadata.items()
            if k not in ("shape", "dimensions", "attributes", "dimension_names")
        }

    def file_at(self, index: Sequence[int]) -> str:
        """The name of a file by its place in the grid of files."""
        numbers = [str(i) for i in index]
        if self.driver == "n5":
            return "/".join(numbers)
        if self.driver == "zarr":
            return (self.metadata.get("dimension_separator") or ".").join(numbers) or "0"
        encoding = self.metadata.get("chunk_key_encoding") or {}
        configuration = encoding.get("configuration") or {}
        if encoding.get("name") == "v2":
            return str(configuration.get("separator", ".")).join(numbers) or "0"
        return str(configuration.get("separator", "/")).join(["c", *numbers])

    def files(self, part: Slices) -> Iterator[str]:
        """The names of the files that a part of the array lies in."""
        ranges = (range(s.start // n, -(-s.stop // n)) for s, n in zip(part, self.file_shape, strict=True))
        return (self.file_at(index) for index in product(*ranges))

    def read(self, part: Slices) -> NDArray[Any]:
        """The voxels of a part; what is not stored is the array's fill value (0 in N5)."""
        if self._needs_zarr_python:
            found = np.asarray(self._zarr_python[part])
        elif local_folder(self.path) is not None and self.driver != "n5":
            found = self._opened[part].read().result()
        else:
            found = self._fetched(part)
        return np.asarray(found)

    def check(self) -> None:
        """Raise VolumeError where the metadata are not those of an array that can be read."""
        _ = self.shape, self.file_shape, self.dtype
        if len(self.shape) != len(self.file_shape) or prod(self.file_shape) == 0:
            raise VolumeError(f"{self.path}: its shape {self.shape} does not fit its chunks {self.file_shape}")
        if self._needs_zarr_python:
            _ = self._zarr_python

    @cached_property
    def _own_metadata(self) -> dict[str, Any]:
        """What says how voxels are stored. Of N5 that is a part of the file, where people write down what they like."""
        return {k: v for k, v in self.metadata.items() if self.driver != "n5" or k in N5_MEMBERS}

    @cached_property
    def _metadata_file(self) -> bytes:
        return json.dumps(self._own_metadata).encode()

    @cached_property
    def _needs_zarr_python(self) -> bool:
        """Whether tensorstore cannot decode it; parts of shards in object stores it would have to read whole."""
        if self.is_sharded and local_folder(self.path) is None:
            return True
        try:
            _ = self._empty
        except ValueError as error:
            if self.driver == "n5":
                raise VolumeError(f"{self.path}: this N5 array cannot be decoded ({error})") from error
            return True
        return False

    @cached_property
    def _empty(self) -> Any:
        """The array with no chunk stored: opened from its metadata alone."""
        import tensorstore

        context = tensorstore.Context()
        store = tensorstore.KvStore.open("memory://", context=context).result()
        store[METADATA_FILES[self.driver]] = self._metadata_file
        return tensorstore.open({"driver": self.driver, "kvstore": "memory://"}, context=context, open=True).result()

    @cached_property
    def _opened(self) -> Any:
        """The array in its folder on this machine."""
        import tensorstore

        folder = local_folder(self.path)
        spec = {"driver": self.driver, "kvstore": {"driver": "file", "path": f"{folder}/"}}
        return tensorstore.open(spec, open=True, read=True, write=False).result()

    def _fetched(self, part: Slices) -> NDArray[Any]:
        """A part whose files are read through `Storage`, all of them at once."""
        import tensorstore

        context = tensorstore.Context()
        store = tensorstore.KvStore.open("memory://", context=context).result()
        store[METADATA_FILES[self.driver]] = self._metadata_file
        storage = Storage(self.path)
        for name, content in storage.get_all(list(self.files(part))).items():
            if content is not None:
                store[name] = content
        spec = {"driver": self.driver, "kvstore": "memory://"}
        found: NDArray[Any] = tensorstore.open(spec, context=context, open=True).result()[part].read().result()
        return found

    @cached_property
    def _zarr_python(self) -> Any:
        """The array as zarr-python opens it."""
        try:
            from seuron.volumes.zarr_store import open_array
        except ImportError as error:
            raise VolumeError(
                f"{self.path}: reading it needs the Python package zarr, which is not installed: pip install zarr"
            ) from error
        return open_array(self.path, 3 if self.driver == "zarr3" else 2)


def _sizes(array: StoredArray, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(isinstance(size, int) and size >= 0 for size in value):
        raise VolumeError(f"{array.path}: its {METADATA_FILES[array.driver]} gives {value!r} where sizes were expected")
    return tuple(value)
