"""Who computes which patch and writes which block: each once, and nothing is lost between cells."""

from __future__ import annotations

from math import prod

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import scaled

from seuron.box import Box, Triple, triple
from seuron.nets.patches import PatchGrid
from seuron.pipelines.stages.predict.cells import CellParts, Cells


@st.composite
def cells(draw: st.DrawFn) -> Cells:
    """Any box in any image, cells smaller and larger than patches, blocks that do not divide the box."""
    image = Box.from_shape([draw(st.integers(-9, 9)) for _ in range(3)], [draw(st.integers(6, 30)) for _ in range(3)])
    low = [draw(st.integers(a, b - 1)) for a, b in zip(image.minimum, image.maximum, strict=True)]
    high = [draw(st.integers(a + 1, b)) for a, b in zip(low, image.maximum, strict=True)]
    patch = [draw(st.integers(4, 12)) for _ in range(3)]
    overlap = [draw(st.integers(0, p // 2)) for p in patch]
    margin = [draw(st.integers(0, o // 2)) for o in overlap]
    blending = draw(st.sampled_from(["blend", "crop"]))
    grid = PatchGrid(image, triple(patch), triple(overlap), triple(margin), blending)
    block = triple([draw(st.integers(2, 6)) for _ in range(3)])
    size = triple([b * draw(st.integers(1, 5)) for b in block])
    origin = triple([a - b * draw(st.integers(0, 2)) for a, b in zip(low, block, strict=True)])
    return Cells(grid, Box(triple(low), triple(high)), size, origin, block)


@settings(max_examples=scaled(60))
@given(cells())
def test_each_patch_is_computed_in_one_cell(cells: Cells) -> None:
    """All patches that reach the run's box, once each."""
    found = [index for place in cells.indices.places() for index in cells.parts(place).patches.places()]
    assert sorted(found) == sorted(cells.grid.meeting(cells.box).places())


@settings(max_examples=scaled(60))
@given(cells())
def test_each_block_is_written_by_one_task(cells: Cells) -> None:
    """Tier 0 and tier 1 write whole blocks of their own cells, and together every voxel once."""
    seen = np.zeros(cells.box.shape, np.int32)
    for place in cells.indices.places():
        parts = cells.parts(place)
        written = [parts.written, *(box for _, row in cells.rows(parts.cell) for box in parts.left(row))]
        for box in written:
            if box.voxels:
                assert parts.cell.contains(box)
                assert on_blocks(cells, box)
                seen[box.within(cells.box)] += 1
    assert (seen == 1).all()


def on_blocks(cells: Cells, box: Box) -> bool:
    """Whether the box's faces lie between blocks, or on the run's own faces."""
    low, high = cells.box.minimum, cells.box.maximum
    return all(
        (a - start) % block == 0 and ((b - start) % block == 0 or b == end)
        for a, b, start, end, block in zip(box.minimum, box.maximum, low, high, cells.block, strict=True)
    )


@settings(max_examples=scaled(40))
@given(cells(), st.integers(0, 99))
def test_what_cells_hand_on_makes_the_whole(cells: Cells, seed: int) -> None:
    """Final numbers and sums, handed on row by row to the cells that need them, are those of all patches at once.

    Each patch adds a number of its own to each voxel that it reaches.
    """
    grid, box = cells.grid, cells.box
    number = np.random.default_rng(seed).integers(1, 1000, grid.count)
    whole = np.zeros(box.shape, np.int64)
    for index in grid.meeting(box).places():
        whole[grid.reach(index).intersect(box).within(box)] += number[index]

    tables = {place: handed_on(cells, cells.parts(place), number) for place in cells.indices.places()}
    found = np.zeros(box.shape, np.int64)
    for place in cells.indices.places():
        parts = cells.parts(place)
        own = tables[place]["own"]
        assert isinstance(own, np.ndarray)
        if parts.written.voxels:
            found[parts.written.within(box)] = own[parts.written.within(parts.own)]
        near = cells.contributors(place)
        for row_number, row in cells.rows(parts.cell):
            for left in parts.left(row):
                sums = np.zeros(left.shape, np.int64)
                for other in near.intersect(cells.indices).places():
                    add(sums, left, cells.parts(other).rims(row), tables[other], ("rims", row_number))
                    add(sums, left, cells.parts(other).finals(row), tables[other], ("finals", row_number))
                found[left.within(box)] = sums
    np.testing.assert_array_equal(found, whole)


Tables = dict[object, object]


def handed_on(cells: Cells, parts: CellParts, number: np.ndarray) -> Tables:
    """What tier 0 knows of a cell in the end, and hands on."""
    sums = np.zeros(parts.reach.shape, np.int64)
    for index in parts.patches.places():
        shared = cells.grid.reach(index).intersect(parts.reach)
        sums[shared.within(parts.reach)] += number[index]
    tables: Tables = {"own": sums[parts.own.within(parts.reach)] if parts.own.voxels else np.zeros((0, 0, 0))}
    for row_number, row in cells.rows(parts.reach) if parts.reach.voxels else ():
        tables["rims", row_number] = [sums[box.within(parts.reach)] for box in parts.rims(row)]
        tables["finals", row_number] = [sums[box.within(parts.reach)] for box in parts.finals(row)]
    return tables


def add(sums: np.ndarray, at: Box, boxes: list[Box], table: Tables, name: tuple[str, int]) -> None:
    pieces = table.get(name, [])
    assert isinstance(pieces, list)
    for box, values in zip(boxes, pieces, strict=True):
        shared = box.intersect(at)
        if shared.voxels:
            sums[shared.within(at)] += values[shared.within(box)]


def test_little_is_handed_on_between_large_cells() -> None:
    """Of a box of 1024^3 in cells of 512^3, sums of less than a tenth, and no more than a third twice."""
    grid = PatchGrid(Box((0, 0, 0), (1024,) * 3), (96,) * 3, (16,) * 3)
    cells = Cells(grid, grid.image, (512,) * 3, (0, 0, 0), (64,) * 3)
    parts = [cells.parts(place) for place in cells.indices.places()]
    rims = sum(box.voxels for part in parts for _, row in cells.rows(part.reach) for box in part.rims(row))
    assert rims < 0.12 * grid.image.voxels
    assert sum(part.cell.voxels - part.written.voxels for part in parts) < grid.image.voxels / 3


def test_a_single_cell_has_nothing_to_hand_on() -> None:
    """All of it is written by the task of the net."""
    grid = PatchGrid(Box((0, 0, 0), (40, 40, 40)), (16,) * 3, (4,) * 3)
    cells = Cells(grid, grid.image, (64,) * 3, (0, 0, 0), (16,) * 3)
    parts = cells.parts((0, 0, 0))
    assert parts.written == parts.own == parts.cell == grid.image
    assert prod(parts.patches.shape) == prod(grid.count)


def places_that_reach(cells: Cells, place: Triple) -> set[Triple]:
    cell = cells.parts(place).cell
    return {other for other in cells.indices.places() if cells.parts(other).reach.intersect(cell).voxels}


@settings(max_examples=scaled(40))
@given(cells())
def test_contributors_are_all_that_reach_a_cell(cells: Cells) -> None:
    """A cell that is left out would be a hole in a sum."""
    for place in cells.indices.places():
        assert places_that_reach(cells, place) <= set(cells.contributors(place).places())
