"""What touches through the faces of chunks: planes of voxels become tables of cluster pairs.

A *face* is the plane of a chunk's voxels behind which the volume goes on. Two faces that lie against
each other make a *seam*: one row for each two clusters that touch there. Everything above the chunks
works on seams; planes of voxels are read once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.contacts import Contacts
from abiss_py.dtypes import FLOAT_SCALE, AffinityType
from abiss_py.kernels import seams as kernels
from abiss_py.place import Place, Triple
from abiss_py.rows import order, taken

Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class Face:
    """One face of a chunk, as planes of the two other axes.

    `keys` are the clusters at the face, 0 for background; `joined` says where the voxel there joins
    the one beyond. Edges through a face belong to the chunk above it, so only a low face has
    `weights`.
    """

    keys: Int64s
    joined: NDArray[np.bool_]
    weights: NDArray[np.uint32] | None


@dataclass(frozen=True)
class Faces:
    """A chunk's inner faces: `planes[axis, side]`, side 0 is low, 1 is high."""

    place: Place
    planes: dict[tuple[int, int], Face]


@dataclass(frozen=True)
class Seam:
    """One row for each two clusters `a` (below) and `b` (above) that touch through faces.

    `joined`: some voxel of one joins some voxel of the other, whatever their sizes. `weight` and
    `index` are those of the strongest voxel edge between them. `total`, `count` and `first` are the
    sum of affinities in integer steps, the number of edges and the smallest edge index, as in
    `Contacts`.
    """

    a: Int64s
    b: Int64s
    joined: NDArray[np.bool_]
    weight: NDArray[np.uint32]
    index: Int64s
    total: Int64s
    count: Int64s
    first: Int64s

    def __len__(self) -> int:
        return int(self.a.size)

    @classmethod
    def empty(cls) -> Seam:
        none = np.zeros(0, np.int64)
        return cls(none, none, none.astype(np.bool_), none.astype(np.uint32), none, none, none, none)

    @classmethod
    def join(cls, seams: Sequence[Seam]) -> Seam:
        """All rows of several seams, as they are."""
        if not seams:
            return cls.empty()
        return cls(*(np.concatenate([getattr(seam, field.name) for seam in seams]) for field in fields(cls)))

    def take(self, rows: Any) -> Seam:
        return Seam(*taken((getattr(self, field.name) for field in fields(self)), rows))

    @property
    def contacts(self) -> Contacts:
        """The rows as contacts, pairs repeated as they are."""
        return Contacts(self.a, self.b, self.total, self.count, self.first)


def seam_of(below: Faces, above: Faces, axis: int, kind: AffinityType) -> Seam:
    """The seam between two chunks that lie against each other along `axis`."""
    low, high = below.planes[axis, 1], above.planes[axis, 0]
    assert high.weights is not None, "a low face has the weights of the edges through it"
    # The planes' first axis runs fastest: neighbours there mostly repeat a pair, and fold into one row.
    rows = Seam(
        a=low.keys.flatten(order="F"),
        b=high.keys.flatten(order="F"),
        joined=(low.joined | high.joined).flatten(order="F"),
        weight=(weight := high.weights.flatten(order="F")),
        index=(index := above.place.face_edges(axis).flatten(order="F")),
        total=_summands(weight, kind),
        count=np.ones(weight.size, np.int64),
        first=index.copy(),
    )
    rows = _folded(rows)
    return _folded(rows.take(order(rows.a, rows.b)))


def seams_of_grid(faces: Mapping[Triple, Faces], kind: AffinityType) -> Iterator[tuple[Triple, int, Seam]]:
    """The seams between all neighbours in a grid of chunks: the place of the upper one, the axis, the seam."""
    for at, above in faces.items():
        for axis in range(3):
            x, y, z = (i - (axis == other) for other, i in enumerate(at))
            if (x, y, z) in faces:
                yield at, axis, seam_of(faces[x, y, z], above, axis, kind)


def _summands(weight: NDArray[np.uint32], kind: AffinityType) -> Int64s:
    """Weights as the integers that are summed."""
    if kind.dtype == np.uint8:
        return weight.astype(np.int64)
    return np.rint(weight.view(np.float32).astype(np.float64) * FLOAT_SCALE).astype(np.int64)


def _folded(seam: Seam) -> Seam:
    """Neighbouring rows of the same pair as one. The table that is given is used up."""
    columns = [getattr(seam, field.name) for field in fields(Seam)]
    rows = kernels.fold(*columns)
    return Seam(*(column[:rows].copy() for column in columns))
