"""A box of voxels: the noun that volumes, plans and tasks share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

Triple = tuple[int, int, int]


def triple(values: Sequence[int]) -> Triple:
    """Three integers as a tuple; raises ValueError for any other number of them."""
    x, y, z = (int(value) for value in values)
    return (x, y, z)


@dataclass(frozen=True, order=True)
class Box:
    """A half-open box of voxels, `minimum <= voxel < maximum`, in x, y, z."""

    minimum: Triple
    maximum: Triple

    @classmethod
    def from_corners(cls, corners: Sequence[int]) -> Box:
        """The box of six integers `x0, y0, z0, x1, y1, z1`."""
        return cls(triple(corners[:3]), triple(corners[3:]))

    @classmethod
    def from_shape(cls, minimum: Sequence[int], shape: Sequence[int]) -> Box:
        """The box of `shape` voxels whose first corner is `minimum`."""
        return cls(triple(minimum), triple([m + s for m, s in zip(minimum, shape, strict=True)]))

    @property
    def corners(self) -> tuple[int, int, int, int, int, int]:
        return (*self.minimum, *self.maximum)

    @property
    def shape(self) -> Triple:
        return triple([b - a for a, b in zip(self.minimum, self.maximum, strict=True)])

    @property
    def voxels(self) -> int:
        """How many voxels it holds; 0 when it is empty on any axis."""
        x, y, z = (max(0, size) for size in self.shape)
        return x * y * z

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        x, y, z = (slice(a, b) for a, b in zip(self.minimum, self.maximum, strict=True))
        return (x, y, z)

    def intersect(self, other: Box) -> Box:
        """The voxels in both; an empty box (`voxels == 0`) when they do not meet."""
        return Box(
            triple([max(a, b) for a, b in zip(self.minimum, other.minimum, strict=True)]),
            triple([min(a, b) for a, b in zip(self.maximum, other.maximum, strict=True)]),
        )

    def contains(self, other: Box) -> bool:
        return all(a <= b for a, b in zip(self.minimum, other.minimum, strict=True)) and all(
            a >= b for a, b in zip(self.maximum, other.maximum, strict=True)
        )

    def shifted(self, offset: Sequence[int]) -> Box:
        """The same box moved by `offset` voxels."""
        return Box(
            triple([a + o for a, o in zip(self.minimum, offset, strict=True)]),
            triple([a + o for a, o in zip(self.maximum, offset, strict=True)]),
        )

    def grown(self, before: Sequence[int], after: Sequence[int]) -> Box:
        """The box with `before` voxels more on its low sides and `after` on its high ones."""
        return Box(
            triple([a - n for a, n in zip(self.minimum, before, strict=True)]),
            triple([a + n for a, n in zip(self.maximum, after, strict=True)]),
        )

    def within(self, other: Box) -> tuple[slice, slice, slice]:
        """The slices that cut this box out of an array that covers `other`."""
        return self.shifted([-a for a in other.minimum]).slices

    def grid_shape(self, cell: Sequence[int]) -> Triple:
        """How many cells of `cell` voxels cover the box along each axis."""
        return triple([-(-size // c) for size, c in zip(self.shape, cell, strict=True)])

    def cell(self, cell: Sequence[int], index: Sequence[int]) -> Box:
        """Cell `index` of a grid of `cell` voxels that starts at the box's minimum, cut to it."""
        start = [a + c * i for a, c, i in zip(self.minimum, cell, index, strict=True)]
        return Box.from_shape(start, cell).intersect(self)

    def cells(self, cell: Sequence[int]) -> Iterator[tuple[Triple, Box]]:
        """Every grid cell with its index, x fastest."""
        nx, ny, nz = self.grid_shape(cell)
        for z, y, x in product(range(nz), range(ny), range(nx)):
            yield (x, y, z), self.cell(cell, (x, y, z))

    def __str__(self) -> str:
        ranges = (f"{a}..{b}" for a, b in zip(self.minimum, self.maximum, strict=True))
        return "[" + ", ".join(ranges) + "]"
