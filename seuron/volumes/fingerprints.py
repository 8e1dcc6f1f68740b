"""The input as a run saw it when it was prepared: enough to tell which blocks have changed since."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, Triple, triple
from seuron.storage.digests import digest_of_array, digest_of_data

#: The mark of a block that is not stored.
MISSING = 0


@dataclass(frozen=True, eq=False)
class SourceBlocks:
    """A mark for each storage block of one input volume, in and around the run's box.

    Attributes:
        path: where the volume lies.
        form: a digest of how its voxels are stored (type, channels, encoding, blocks).
        origin: where the volume's block grid begins, in voxels of the run's scale.
        block: size of a block, in voxels.
        first: index of the first marked block in that grid.
        marks: uint64 (X, Y, Z), one for each block: made of its file's name, size and time, `MISSING`
            where there is no file. Equal marks mean equal content, unless somebody takes pains.
    """

    path: str
    form: str
    origin: Triple
    block: Triple
    first: Triple
    marks: NDArray[np.uint64]

    @property
    def _whole(self) -> Box:
        """The marked blocks, by index."""
        return Box.from_shape(self.first, self.marks.shape)

    def _seen(self, box: Box) -> tuple[Box, NDArray[np.uint64]]:
        """The marked blocks that meet a box: their indices and marks."""
        indices = box.grid(self.block, self.origin).intersect(self._whole)
        if indices.voxels == 0:
            return Box(self.first, self.first), np.zeros((0, 0, 0), np.uint64)
        return indices, self.marks[indices.within(self._whole)]

    def digest(self, box: Box) -> str:
        """The digest of the blocks that meet `box`, of their places and of how they are stored."""
        indices, marks = self._seen(box)
        place = [self.path, self.form, self.origin, self.block, indices.corners]
        return digest_of_data([place, digest_of_array(marks)])

    def has_holes(self, box: Box) -> bool:
        """Whether a block that meets `box` is not stored."""
        return bool((self._seen(box)[1] == MISSING).any())

    def changed_since(self, before: SourceBlocks) -> list[Box]:
        """The boxes, in voxels, of the blocks whose marks are not those of `before`; blocks new to it are left out."""
        shared = self._whole.intersect(before._whole)
        if (self.origin, self.block, self.form) != (before.origin, before.block, before.form):
            different = np.ones(self.marks.shape, np.bool_)
        elif shared.voxels == 0:
            return []
        else:
            different = np.zeros(self.marks.shape, np.bool_)
            mine, theirs = self.marks[shared.within(self._whole)], before.marks[shared.within(before._whole)]
            different[shared.within(self._whole)] = mine != theirs
        return [self._box(triple(index.tolist())) for index in np.argwhere(different)]

    def _box(self, index: Triple) -> Box:
        """The box of the block at `index` in `marks`."""
        at = zip(self.origin, self.block, self.first, index, strict=True)
        return Box.from_shape([o + b * (f + i) for o, b, f, i in at], self.block)
