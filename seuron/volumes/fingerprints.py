"""Fingerprints of a volume's blocks: enough to know later which have changed; and digests of their content.

A fingerprint is made of the name, size and time of a block's file, or of what an object store says of it: nothing is
read. A content digest reads the stored bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, Triple, triple
from seuron.storage import Storage
from seuron.storage.digests import digest_of_array, digest_of_bytes, digest_of_data
from seuron.volumes.volume import Missing, Volume

#: The fingerprint of a block that is not stored.
MISSING = 0


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """A fingerprint for each storage block of one input volume, in and around a box.

    Attributes:
        path: where the volume lies.
        form: a digest of how its voxels are stored (type, channels, encoding, blocks).
        origin: where the volume's block grid begins, in voxels of the run's scale.
        block: size of a block, in voxels.
        first: index of the first of these blocks in that grid.
        values: uint64 (X, Y, Z), one for each block, `MISSING` where there is no file. Equal values mean equal
            content, unless somebody takes pains.
    """

    path: str
    form: str
    origin: Triple
    block: Triple
    first: Triple
    values: NDArray[np.uint64]

    @property
    def _whole(self) -> Box:
        """All of these blocks, by index."""
        return Box.from_shape(self.first, self.values.shape)

    def _seen(self, box: Box) -> tuple[Box, NDArray[np.uint64]]:
        """The blocks that meet a box: their indices and fingerprints."""
        indices = box.grid(self.block, self.origin).intersect(self._whole)
        if indices.voxels == 0:
            return Box(self.first, self.first), np.zeros((0, 0, 0), np.uint64)
        return indices, self.values[indices.within(self._whole)]

    def digest(self, box: Box) -> str:
        """The digest of the blocks that meet `box`, of their places and of how they are stored."""
        indices, values = self._seen(box)
        place = [self.path, self.form, self.origin, self.block, indices.corners]
        return digest_of_data([place, digest_of_array(values)])

    def has_holes(self, box: Box) -> bool:
        """Whether a block that meets `box` is not stored."""
        return bool((self._seen(box)[1] == MISSING).any())

    def changed_since(self, before: Fingerprints) -> list[Box]:
        """The boxes, in voxels, of the blocks that are not as they were in `before`; blocks new to it are left out."""
        shared = self._whole.intersect(before._whole)
        if (self.origin, self.block, self.form) != (before.origin, before.block, before.form):
            different = np.ones(self.values.shape, np.bool_)
        elif shared.voxels == 0:
            return []
        else:
            different = np.zeros(self.values.shape, np.bool_)
            mine, theirs = self.values[shared.within(self._whole)], before.values[shared.within(before._whole)]
            different[shared.within(self._whole)] = mine != theirs
        return [self._box(triple(index.tolist())) for index in np.argwhere(different)]

    def _box(self, index: Triple) -> Box:
        """The box of the block at `index` in `values`."""
        at = zip(self.origin, self.block, self.first, index, strict=True)
        return Box.from_shape([o + b * (f + i) for o, b, f, i in at], self.block)


def fingerprints_of(volume: Volume, box: Box) -> Fingerprints:
    """The fingerprints of the blocks of a volume that meet `box`.

    All chunks of a shard change together. A chunk that a shard does not hold is not told from one that it does.
    """
    whole, size = volume.box, volume.block_size
    indices, blocks = box.intersect(whole).grid(size, whole.minimum), volume.blocks(box)
    files = [volume.files(block) for block in blocks]
    names = list(dict.fromkeys(name for names in files for name in names))
    versions = dict(zip(names, Storage(volume.path).versions(names), strict=True))
    found = (_fingerprint([versions[name] for name in names]) for names in files)
    values = np.fromiter(found, np.uint64, len(files))
    return Fingerprints(
        path=volume.path,
        form=digest_of_data(volume.form),
        origin=whole.minimum,
        block=size,
        first=indices.minimum,
        values=values.reshape(indices.shape, order="F"),
    )


def _fingerprint(versions: list[str | None]) -> np.uint64:
    """64 bits of the versions of a block's files; `MISSING` where one of them is not there, and only then."""
    known = [version for version in versions if version is not None]
    if len(known) < len(versions):
        return np.uint64(MISSING)
    return np.uint64(int(digest_of_bytes(["\n".join(known).encode()])[:16], 16) or 1)


def content_digest(volume: Volume, box: Box, missing: Missing) -> str:
    """The digest of the blocks of a volume that meet `box`, by their stored bytes.

    Where a block is missing, what that means (`missing`) is a part of it.
    """
    storage, box = Storage(volume.path), box.intersect(volume.box)
    if volume.is_sharded:
        return digest_of_array(volume.read(box, missing=missing))

    def parts() -> Iterator[bytes]:
        for block in volume.blocks(box):
            for name in volume.files(block):
                content = storage.stored(name)
                yield f"{block} {missing if content is None else ''}".encode()
                yield content or b""

    form: Any = [volume.form, box.corners]
    return digest_of_bytes([digest_of_data(form).encode(), digest_of_bytes(parts()).encode()])
