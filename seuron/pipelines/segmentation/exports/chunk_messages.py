"""The files that PyChunkedGraph reads of each chunk, in its public format.

`edges_X_Y_Z.proto.zst` is a `ChunkEdgesMsg` in zstd, `components_X_Y_Z.proto` a `ChunkComponentsMsg`. Both messages
are described here as the .proto files of PyChunkedGraph describe them; protobuf makes their classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]

#: The level that PyChunkedGraph packs its own edges with.
ZSTD_LEVEL = 17
KINDS = ("in_chunk", "cross_chunk", "between_chunk")


@dataclass(frozen=True)
class ChunkEdges:
    """Edges between supervoxels, a row for each two that touch.

    `ids1` and `ids2` are int64; `affinities` float32, the sum of the affinities of the voxel edges between them;
    `areas` int64, how many voxel edges.
    """

    ids1: Int64s
    ids2: Int64s
    affinities: NDArray[np.float32]
    areas: Int64s

    def __len__(self) -> int:
        return int(self.ids1.size)


def edges_name(place: tuple[int, int, int]) -> str:
    """The name of the file with a chunk's edges."""
    return f"edges_{'_'.join(map(str, place))}.proto.zst"


def components_name(place: tuple[int, int, int]) -> str:
    """The name of the file with a chunk's components."""
    return f"components_{'_'.join(map(str, place))}.proto"


def packed_edges(edges: dict[str, ChunkEdges]) -> bytes:
    """The file of a chunk's edges, by `KINDS`."""
    import zstandard

    message = _messages()["ChunkEdgesMsg"]()
    for kind in KINDS:
        part, found = getattr(message, kind), edges[kind]
        part.SetInParent()
        part.node_ids1 = found.ids1.astype("<u8").tobytes()
        part.node_ids2 = found.ids2.astype("<u8").tobytes()
        part.affinities = found.affinities.astype("<f4").tobytes()
        part.areas = found.areas.astype("<u8").tobytes()
    packed: bytes = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(message.SerializeToString(deterministic=True))
    return packed


def components_file(supervoxels: Int64s, segments: Int64s) -> bytes:
    """The file of a chunk's components: for each segment, ascending, how many supervoxels it has, and these."""
    order = np.lexsort((supervoxels, segments))
    _, begins, sizes = np.unique(segments[order], return_index=True, return_counts=True)
    message = _messages()["ChunkComponentsMsg"]()
    message.components.extend(np.insert(supervoxels[order], begins, sizes).tolist())
    found: bytes = message.SerializeToString(deterministic=True)
    return found


@cache
def _messages() -> dict[str, type[Any]]:
    """The classes of the messages, by name."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="chunked_graph.proto", package="edges", syntax="proto3")
    edges = file.message_type.add(name="EdgesMsg")
    for number, name in enumerate(("node_ids1", "node_ids2", "affinities", "areas"), start=1):
        edges.field.add(name=name, number=number, type=field.TYPE_BYTES, label=field.LABEL_OPTIONAL)
    chunk = file.message_type.add(name="ChunkEdgesMsg")
    for number, name in enumerate(KINDS, start=1):
        chunk.field.add(
            name=name, number=number, type=field.TYPE_MESSAGE, type_name=".edges.EdgesMsg", label=field.LABEL_OPTIONAL
        )
    components = file.message_type.add(name="ChunkComponentsMsg")
    components.field.add(name="components", number=1, type=field.TYPE_UINT64, label=field.LABEL_REPEATED)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    names = ("ChunkEdgesMsg", "ChunkComponentsMsg")
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"edges.{name}")) for name in names}
