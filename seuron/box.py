"""A box of voxels: the noun that volumes, plans and tasks share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

Triple = tuple[int, int, int]


def triple(values: Sequence[int]) -> Triple:
    """Three integers as a tuple; raises ValueError for any other number of them."""
    x, y, z = values
    return (int(x), int(y), int(z))


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
        (ax, ay, az), (bx, by, bz) = self.minimum, other.minimum
        (cx, cy, cz), (dx, dy, dz) = self.maximum, other.maximum
        # Written out, and so in `cell`: plans of a cubic millimetre make a million boxes.
        return Box((max(ax, bx), max(ay, by), max(az, bz)), (min(cx, dx), min(cy, dy), min(cz, dz)))

    def hull(self, other: Box) -> Box:
        """The smallest box that holds both."""
        return Box(
            triple([min(a, b) for a, b in zip(self.minimum, other.minimum, strict=True)]),
            triple([max(a, b) for a, b in zip(self.maximum, other.maximum, strict=True)]),
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

    def grid(self, cell: Sequence[int], origin: Sequence[int] | None = None) -> Box:
        """The indices of the cells of `cell` voxels that meet the box, as a box of them.

        The grid starts at `origin`, by default at the box's minimum.
        """
        start = self.minimum if origin is None else origin
        low = [(a - o) // c for a, o, c in zip(self.minimum, start, cell, strict=True)]
        high = [-((o - b) // c) for b, o, c in zip(self.maximum, start, cell, strict=True)]
        return Box(triple(low), triple(high))

    def grid_shape(self, cell: Sequence[int]) -> Triple:
        """How many cells of `cell` voxels cover the box along each axis, from its minimum on."""
        return self.grid(cell).shape

    def cell_of_at_most(self, most: int, cell: Triple) -> Triple:
        """A cell, doubled along each axis until no more than `most` of them cover the box."""
        while prod(self.grid_shape(cell)) > most:
            cell = triple([2 * c for c in cell])
        return cell

    def cell(self, cell: Sequence[int], index: Sequence[int], origin: Sequence[int] | None = None) -> Box:
        """Cell `index` of a grid that starts at `origin` (by default the box's minimum), cut to the box."""
        (ox, oy, oz), (cx, cy, cz), (i, j, k) = self.minimum if origin is None else origin, cell, index
        (ax, ay, az), (bx, by, bz) = self.minimum, self.maximum
        x, y, z = ox + cx * i, oy + cy * j, oz + cz * k
        return Box((max(ax, x), max(ay, y), max(az, z)), (min(bx, x + cx), min(by, y + cy), min(bz, z + cz)))

    def cells(self, cell: Sequence[int], origin: Sequence[int] | None = None) -> Iterator[tuple[Triple, Box]]:
        """Every cell of the grid that meets the box, cut to it, with its index; x fastest."""
        for index in self.grid(cell, origin).places():
            yield index, self.cell(cell, index, origin)

    def places(self) -> Iterator[Triple]:
        """Every point of the box, such as the indices of a grid's cells; x fastest."""
        ranges = [range(a, b) for a, b in zip(self.minimum, self.maximum, strict=True)]
        for z, y, x in product(*reversed(ranges)):
            yield (x, y, z)

    def __str__(self) -> str:
        ranges = (f"{a}..{b}" for a, b in zip(self.minimum, self.maximum, strict=True))
        return "[" + ", ".join(ranges) + "]"
