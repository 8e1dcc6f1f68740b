"""Zarr arrays through zarr-python, with `Storage` as its store: the codecs and parts of shards that tensorstore leaves.

Nothing is ever written.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, Literal

import zarr
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from seuron.errors import VolumeError
from seuron.storage import Storage


def open_array(path: str, zarr_format: Literal[2, 3]) -> Any:
    """The array in a folder or below an address, for reading. Raises VolumeError where a codec is not known."""
    try:
        return zarr.open_array(StorageStore(Storage(path)), mode="r", zarr_format=zarr_format)
    except (ValueError, KeyError, TypeError, ImportError) as error:
        raise VolumeError(
            f"{path}: this Zarr array cannot be decoded ({error}). Write it again with a codec of Zarr's own, such as "
            "zstd or blosc"
        ) from error


class StorageStore(Store):
    """The files below a path, for zarr-python: for reading only."""

    supports_writes = False
    supports_deletes = False
    supports_listing = True

    def __init__(self, storage: Storage) -> None:
        super().__init__(read_only=True)
        self._storage = storage

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StorageStore) and other._storage.path == self._storage.path

    def __hash__(self) -> int:
        return hash(self._storage.path)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        content = await asyncio.to_thread(self._bytes, key, byte_range)
        return None if content is None else prototype.buffer.from_bytes(content)

    def _bytes(self, key: str, part: ByteRequest | None) -> bytes | None:
        if part is None:
            return self._storage.get(key)
        if isinstance(part, RangeByteRequest):
            return self._storage.get_range(key, part.start, part.end - part.start)
        size = self._storage.size(key)
        if size is None:
            return None
        if isinstance(part, OffsetByteRequest):
            return self._storage.get_range(key, part.offset, max(0, size - part.offset))
        assert isinstance(part, SuffixByteRequest)
        return self._storage.get_range(key, max(0, size - part.suffix), min(size, part.suffix))

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        return await asyncio.to_thread(self._storage.size, key) is not None

    async def set(self, key: str, value: Buffer) -> None:
        raise NotImplementedError("volumes that are given are never written")

    async def delete(self, key: str) -> None:
        raise NotImplementedError("volumes that are given are never written")

    async def list(self) -> AsyncIterator[str]:
        for name in await asyncio.to_thread(self._storage.every_name):
            yield name

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        async for name in self.list():
            if name.startswith(prefix):
                yield name

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        folder = f"{prefix.rstrip('/')}/" if prefix else ""
        for name in await asyncio.to_thread(self._storage.names, folder):
            yield name.removeprefix(folder).rstrip("/")
