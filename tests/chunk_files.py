"""A reader of PyChunkedGraph's files, from its public format: messages, their wire format, little-endian arrays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zstandard
from numpy.typing import NDArray

#: The numbers of the fields of ChunkEdgesMsg.
KINDS = {1: "in_chunk", 2: "cross_chunk", 3: "between_chunk"}
#: The types of the fields of EdgesMsg: node_ids1, node_ids2, affinities, areas.
ARRAYS = ("<u8", "<u8", "<f4", "<u8")


class FileEdges(NamedTuple):
    """The edges of one kind of one chunk."""

    ids1: NDArray[np.uint64]
    ids2: NDArray[np.uint64]
    affinities: NDArray[np.float32]
    areas: NDArray[np.uint64]


def read_edges(path: Path) -> dict[str, FileEdges]:
    """A `ChunkEdgesMsg` in zstd, by kind. PyChunkedGraph unpacks many at once, which needs their sizes in the file."""
    packed = path.read_bytes()
    assert zstandard.get_frame_parameters(packed).content_size not in (0, zstandard.CONTENTSIZE_UNKNOWN)
    found = {}
    for number, part in _fields(zstandard.ZstdDecompressor().decompress(packed)):
        arrays = dict(_fields(part))
        found[KINDS[number]] = FileEdges(*(np.frombuffer(arrays.get(k, b""), t) for k, t in enumerate(ARRAYS, start=1)))
        assert len({array.size for array in found[KINDS[number]]}) == 1
    return found


def read_components(path: Path) -> list[list[int]]:
    """A `ChunkComponentsMsg`: the supervoxels of each component, behind their number."""
    ((number, packed),) = _fields(path.read_bytes())
    assert number == 1
    values, at, found = [], 0, []
    while at < len(packed):
        value, at = _varint(packed, at)
        values.append(value)
    while values:
        found.append(values[1 : 1 + values[0]])
        assert len(found[-1]) == values[0]
        values = values[1 + values[0] :]
    return found


def place_of(ids: NDArray[Any], spatial_bits: int = 10) -> NDArray[np.int64]:
    """The layer of ids and the place of their chunks, (N, 4): 8 bits, then `spatial_bits` each."""
    ids = np.asarray(ids, np.uint64)
    places = [ids >> np.uint64(56)]
    for axis in range(1, 4):
        places.append(ids >> np.uint64(56 - axis * spatial_bits) & np.uint64(2**spatial_bits - 1))
    return np.stack(places, axis=-1).astype(np.int64)


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a message, all of them with a length (wire type 2)."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        size, at = _varint(message, at)
        assert tag & 7 == 2
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        value |= (message[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if message[at - 1] < 128:
            return value, at
