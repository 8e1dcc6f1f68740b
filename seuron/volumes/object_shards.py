"""Things by the id of a segment, many to a file: Neuroglancer's sharded format, by cloud-volume.

Meshes and skeletons lie so. Which file an id is in follows from the id alone, so one task writes a file whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seuron.box import Triple
from seuron.errors import NotFoundError, VolumeError
from seuron.storage import Storage, cloud_path
from seuron.storage.allowed_paths import check_address

if TYPE_CHECKING:
    from cloudvolume.datasource.precomputed.sharding import ShardingSpecification
    from cloudvolume.frontends.precomputed import CloudVolumePrecomputed

#: A reader takes the index of one of 2^4 parts of a file at once.
MINISHARD_BITS = 4


@dataclass(frozen=True)
class ObjectSharding:
    """How ids are spread over `2^shard_bits` files."""

    shard_bits: int

    @property
    def info(self) -> dict[str, Any]:
        """The `sharding` of a folder's info. Nothing is packed, as the bytes of packed data may depend on the time."""
        return {
            "@type": "neuroglancer_uint64_sharded_v1",
            "hash": "murmurhash3_x86_128",
            "preshift_bits": 0,
            "minishard_bits": MINISHARD_BITS,
            "shard_bits": self.shard_bits,
            "minishard_index_encoding": "raw",
            "data_encoding": "raw",
        }

    @cached_property
    def _specification(self) -> ShardingSpecification:
        from cloudvolume.datasource.precomputed.sharding import ShardingSpecification

        return ShardingSpecification.from_dict(self.info)

    def shards(self, ids: Sequence[int]) -> NDArray[np.int64]:
        """The number of the file that each id is in."""
        locations = (self._specification.compute_shard_location(np.uint64(number)) for number in ids)
        return np.array([int(location.shard_number, 16) for location in locations], np.int64)

    def file(self, shard: int) -> str:
        """The name of a file."""
        return f"{shard:x}".zfill(-(-self.shard_bits // 4)) + ".shard"

    def content(self, objects: Mapping[int, bytes], before: Mapping[int, int] | None = None) -> bytes:
        """A file of objects, which are all of its own; the same for the same objects in any order.

        `before` gives for each id how many bytes of its object lie before what the index points at.
        """
        ordered = {number: objects[number] for number in sorted(objects)}
        # cloud-volume means by an offset what is pointed at, and by the rest what is before it.
        sizes = None if before is None else {number: len(ordered[number]) - before[number] for number in ordered}
        made: bytes = self._specification.synthesize_shard(ordered, data_offset=sizes)
        return made


def mesh_manifest(
    origin_nm: Sequence[float],
    fragment_nm: Sequence[float],
    errors_nm: Sequence[float],
    fragments: Sequence[Mapping[Triple, bytes]],
) -> bytes:
    """The manifest of a mesh of several levels of detail.

    Args:
        origin_nm: the first corner of the fragment at 0, 0, 0.
        fragment_nm: the size of a fragment of the first level.
        errors_nm: of each level, which says from which distance it is good enough.
        fragments: of each level, in the order in which they are stored.
    """
    from cloudvolume.datasource.precomputed.mesh.multilod import MultiLevelPrecomputedMeshManifest

    manifest = MultiLevelPrecomputedMeshManifest(
        segment_id=0,  # is not stored
        chunk_shape=fragment_nm,
        grid_origin=origin_nm,
        num_lods=len(fragments),
        lod_scales=list(errors_nm),
        vertex_offsets=np.zeros((len(fragments), 3), np.float32),
        num_fragments_per_lod=[len(level) for level in fragments],
        fragment_positions=[np.array(list(level), np.uint32).reshape(-1, 3) for level in fragments],
        fragment_offsets=[len(content) for level in fragments for content in level.values()],
    )
    made: bytes = manifest.to_binary()
    return made


class StoredMesh(NamedTuple):
    """Points (N, 3), nm, and triangles (M, 3), rows of them; each fragment has its own points."""

    points_nm: NDArray[np.float32]
    triangles: NDArray[np.uint32]


class StoredShapes:
    """Meshes or skeletons in a folder, read by cloud-volume as viewers read them; it may be on a server (`http://`)."""

    def __init__(self, path: str, sharding: ObjectSharding | None = None) -> None:
        self.path = cloud_path(path)
        self._sharding = sharding
        check_address(self.path)

    @cached_property
    def sharding(self) -> ObjectSharding:
        """How ids are spread over files: what was given, or the folder's info says; raises VolumeError without it."""
        if self._sharding is not None:
            return self._sharding
        content = Storage(self.path).get("info")
        if content is None:
            raise VolumeError(
                f"{self.path} holds no meshes or skeletons (no `info`); make them with `seuron run products`"
            )
        return ObjectSharding(int(json.loads(content)["sharding"]["shard_bits"]))

    @cached_property
    def _name(self) -> str:
        return self.path.rpartition("/")[2]

    @cached_property
    def _cloud(self) -> CloudVolumePrecomputed:
        from cloudvolume import CloudVolume

        voxel = (1, 1, 1)  # cloud-volume knows no meshes without a volume: it is never read
        info = CloudVolume.create_new_info(
            1, "segmentation", "uint64", "raw", voxel, (0, 0, 0), voxel, mesh=self._name, skeletons=self._name
        )
        folder = self.path.rpartition("/")[0]
        return CloudVolume(f"precomputed://{folder}", info=info, progress=False, cache=False)

    def ids(self, shards: Iterable[int] | None = None) -> NDArray[np.uint64]:
        """The ids of all objects, or of those in some files, sorted: as the files' indices name them."""
        from cloudvolume.datasource.precomputed.sharding import ShardingSpecification, ShardReader
        from cloudvolume.exceptions import EmptyFileException

        specification = ShardingSpecification.from_dict(self.sharding.info)
        reader = ShardReader(self._cloud.cloudpath, self._cloud.cache, specification)
        found = [np.zeros(0, np.uint64)]
        for shard in range(2**self.sharding.shard_bits) if shards is None else shards:
            file = self.sharding.file(shard)
            with suppress(EmptyFileException):  # there is no file where no id is in it
                index = reader.get_index(file, self._name)
                parts = reader.get_minishard_indices(file, index, list(range(len(index))), self._name)
                found += [part[:, 0] for part in parts.values() if part is not None]
        return np.sort(np.concatenate(found))

    def mesh(self, number: int, level: int = 0) -> StoredMesh:
        """The mesh of a segment at a level of detail; raises NotFoundError."""
        from cloudvolume.exceptions import MeshDecodeError, MeshMissingError

        self.sharding  # noqa: B018  raises where nothing is
        try:
            found = self._cloud.mesh.get(number, lod=level)[number]
        except (MeshMissingError, MeshDecodeError) as error:
            raise NotFoundError(f"{self.path} has no mesh of the segment {number} at level {level}") from error
        return StoredMesh(np.asarray(found.vertices, np.float32), np.asarray(found.faces, np.uint32))

    def skeleton(self, number: int) -> Any:
        """The skeleton of a segment, an `osteoid.Skeleton` in nm; raises NotFoundError."""
        from cloudvolume.exceptions import EmptyFileException, SkeletonDecodeError

        self.sharding  # noqa: B018
        try:
            return self._cloud.skeleton.get(number)
        except (EmptyFileException, SkeletonDecodeError) as error:
            raise NotFoundError(f"{self.path} has no skeleton of the segment {number}") from error
