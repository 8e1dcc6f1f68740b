"""Which task computes which patch, and which task writes which block. Arithmetic on boxes, no voxels.

The run's box is cut into *cells* of whole storage blocks. Each cell has a task in tier 0, which computes the patches
whose own part begins in it, and where there are several cells one in tier 1. Of a cell:

    reach     where its patches have a share: more than the cell on its high sides, less on its low ones
    own       the voxels that no other cell's patches reach, in the cell or not: its task knows their final numbers
    written   the whole blocks of the cell inside `own`: tier 0 writes them, nobody else does

All other blocks of the cell are written by its task of tier 1, and by nobody else. So no block is ever written twice
with different bytes, in whatever order tasks run, and however often. Tier 0 hands on, one row of blocks along z after
the other,

- final numbers of what is in `own` and not in `written` (`finals`), as they will be stored;
- sums of what is in `reach` and not in `own` (`rims`), integers.

Tier 1 of the cells that these lie in takes the numbers as they are, and adds up the sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from seuron.box import Box, Triple, triple
from seuron.engine.plan import MAX_TIER_TASKS
from seuron.nets.patches import PatchGrid, boxes_outside

#: A cell has at most so many voxels along an axis, and there are at least so many, where the box allows it, to keep
#: several workers busy.
LONGEST_CELL = 512
FEWEST_CELLS = 4


def whole_blocks(size: Triple, block: Triple) -> Triple:
    """A size, rounded up to whole storage blocks."""
    return triple([-(-c // b) * b for c, b in zip(size, block, strict=True)])


def choose_cell(chunk: Triple, block: Triple, box: Box) -> Triple:
    """The cells of a box: chunks of whole blocks, doubled while that leaves `FEWEST_CELLS`.

    Small ones hand more on to each other.
    """
    cell = box.cell_of_at_most(MAX_TIER_TASKS, whole_blocks(chunk, block))
    while True:
        larger = triple([2 * c for c in cell])
        if max(larger) > LONGEST_CELL or prod(box.grid_shape(larger)) < FEWEST_CELLS:
            return cell
        cell = larger


@dataclass(frozen=True)
class CellParts:
    """The parts of a cell; `patches` are the indices of those that its task computes, which may be none."""

    cell: Box
    patches: Box
    reach: Box
    own: Box
    written: Box

    def finals(self, row: Box) -> list[Box]:
        """The boxes of a row of blocks whose final numbers tier 0 hands on."""
        return list(boxes_outside(self.own.intersect(row), self.written))

    def rims(self, row: Box) -> list[Box]:
        """The boxes of a row of blocks whose sums tier 0 hands on."""
        return list(boxes_outside(self.reach.intersect(row), self.own))

    def left(self, row: Box) -> list[Box]:
        """The boxes of a row of blocks that tier 1 writes."""
        return list(boxes_outside(self.cell.intersect(row), self.written))


@dataclass(frozen=True)
class Cells:
    """The cells of a run.

    Attributes:
        grid: the patches of its image.
        box: the run's.
        size: voxels of a cell, whole blocks.
        origin: where the cells begin, a whole number of blocks from the corner of `box`.
        block: voxels of a storage block; blocks begin at the corner of `box`.
    """

    grid: PatchGrid
    box: Box
    size: Triple
    origin: Triple
    block: Triple

    @property
    def indices(self) -> Box:
        """The places of all cells."""
        return self.box.grid(self.size, self.origin)

    def rows(self, box: Box) -> Iterator[tuple[int, Box]]:
        """The rows of blocks along z that meet a box, with their numbers: all of the run's box along x and y."""
        height = (*self.box.shape[:2], self.block[2])
        for place in box.grid(height, self.box.minimum).places():
            yield place[2], self.box.cell(height, place)

    def parts(self, index: Triple) -> CellParts:
        """The parts of the cell at a place."""
        return _parts(self, index)

    def contributors(self, index: Triple) -> Box:
        """The places of the cells whose patches reach a cell."""
        met = self.grid.meeting(self.box.cell(self.size, index, self.origin))
        first = [self.owner(axis, patch) for axis, patch in enumerate(met.minimum)]
        last = [self.owner(axis, end - 1) for axis, end in enumerate(met.maximum)]
        return _box([(a, b + 1) for a, b in zip(first, last, strict=True)])

    def anchor(self, axis: int, patch: int) -> int:
        """The voxel along an axis whose cell computes a patch: where its own part begins, or the nearest in the box."""
        start = self.grid.core_start(axis, patch)
        return min(max(start, self.box.minimum[axis]), self.box.maximum[axis] - 1)

    def owner(self, axis: int, patch: int) -> int:
        """The place along an axis of the cell that computes a patch."""
        return (self.anchor(axis, patch) - self.origin[axis]) // self.size[axis]


Ends = tuple[int, int]


@dataclass(frozen=True)
class _AxisParts:
    """The parts of a cell along one axis; no patches where it computes none."""

    patches: range
    reach: Ends
    own: Ends
    written: Ends


@lru_cache(maxsize=4096)
def _parts(cells: Cells, index: Triple) -> CellParts:
    """Kept, as the keys of a plan ask for each cell from every neighbour."""
    cell = cells.box.cell(cells.size, index, cells.origin)
    axes = [_axis_parts(cells, axis, place) for axis, place in enumerate(index)]
    if not all(ends.patches for ends in axes):
        nothing = Box(cell.minimum, cell.minimum)
        return CellParts(cell, Box((0, 0, 0), (0, 0, 0)), nothing, nothing, nothing)
    return CellParts(
        cell,
        _box([(ends.patches.start, ends.patches.stop) for ends in axes]),
        _box([ends.reach for ends in axes]),
        _box([ends.own for ends in axes]),
        _box([ends.written for ends in axes]),
    )


@lru_cache(maxsize=4096)
def _axis_parts(cells: Cells, axis: int, place: int) -> _AxisParts:
    grid, start, end = cells.grid, cells.box.minimum[axis], cells.box.maximum[axis]
    corner = cells.origin[axis] + place * cells.size[axis]
    low, high = max(start, corner), min(end, corner + cells.size[axis])
    mine = [patch for patch in grid.axis_meeting(axis, low, high) if low <= cells.anchor(axis, patch) < high]
    if not mine:
        return _AxisParts(range(0), (low, low), (low, low), (low, low))
    first, last, every = mine[0], mine[-1], grid.axis_meeting(axis, start, end)
    reach = max(start, grid.axis_reach(axis, first)[0]), min(end, grid.axis_reach(axis, last)[1])
    before = grid.axis_reach(axis, first - 1)[1] if first > every.start else start
    after = grid.axis_reach(axis, last + 1)[0] if last + 1 < every.stop else end
    own = before, max(before, after)
    block = cells.block[axis]
    inside = max(low, own[0]), min(high, own[1])
    first_block = start - (start - inside[0]) // block * block
    last_block = inside[1] if inside[1] == end else start + (inside[1] - start) // block * block
    written = first_block, max(first_block, last_block)
    return _AxisParts(range(first, last + 1), reach, own, written)


def _box(ends: list[Ends]) -> Box:
    return Box(triple([low for low, _ in ends]), triple([high for _, high in ends]))
