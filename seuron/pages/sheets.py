"""The tasks of a run as maps: one sheet for each tier, cut into slices along z.

A sheet is the grid of a tier's tasks. Its cells are counted, never listed one by one to the browser where
there are more than a screen shows: `cut` then joins squares of `factor` x `factor` cells into one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from seuron.box import Triple, triple
from seuron.engine.plan import Plan, Task, task_id

#: Cells along a side of a slice that the browser gets at most: 16,384 in all.
MOST_CELLS = 128


class Counts(NamedTuple):
    """How many tasks there are, and how many of them are done, at work, or have failed."""

    total: int
    done: int
    working: int
    failed: int


class Cell(NamedTuple):
    """A square of a slice: its place, in units of `factor` cells, and the tasks in it."""

    x: int
    y: int
    total: int
    done: int
    working: int
    failed: int


@dataclass(frozen=True)
class Cut:
    """One slice of a sheet: its cells, and how far every slice is."""

    z: int
    factor: int
    cells: tuple[Cell, ...]
    slices: tuple[Counts, ...]


@dataclass(frozen=True)
class Sheet:
    """The tasks of one tier that lie on one grid; a layer's or a round's own where a tier has several.

    `corner` is the lowest index along each axis, `shape` the number of cells, empty ones counted.
    """

    stage: str
    tier: int
    layer: str
    tasks: tuple[Task, ...]
    corner: Triple
    shape: Triple

    @property
    def name(self) -> str:
        return ".".join([self.stage, str(self.tier), *([self.layer] if self.layer else [])])

    @cached_property
    def by_slice(self) -> tuple[tuple[Task, ...], ...]:
        """The tasks of each slice."""
        found: list[list[Task]] = [[] for _ in range(self.shape[2])]
        for task in self.tasks:
            found[task.index[2] - self.corner[2]].append(task)
        return tuple(tuple(tasks) for tasks in found)

    def task_at(self, place: Triple) -> str:
        """The id of the task at a place, counted from the corner; there need not be one."""
        index = triple([c + p for c, p in zip(self.corner, place, strict=True)])
        return task_id(self.stage, self.tier, index, self.layer)


def sheets_of(plan: Plan) -> dict[str, Sheet]:
    """The sheets of all tiers, in the plan's order."""
    found: dict[tuple[str, int, str], list[Task]] = defaultdict(list)
    for task in plan.tasks.values():
        found[task.stage, task.tier, task.layer].append(task)
    sheets = (_sheet(*place, tasks) for place, tasks in found.items())
    return {sheet.name: sheet for sheet in sheets}


def _sheet(stage: str, tier: int, layer: str, tasks: list[Task]) -> Sheet:
    axes = list(zip(*(task.index for task in tasks), strict=True))
    corner = triple([min(axis) for axis in axes])
    shape = triple([max(axis) - min(axis) + 1 for axis in axes])
    return Sheet(stage, tier, layer, tuple(tasks), corner, shape)


def counts(tasks: Collection[Task], done: Collection[str], working: Collection[str], failed: Collection[str]) -> Counts:
    """How far some tasks are. What is done is neither at work nor failed, and what has failed is not at work."""
    state = _state(done, working, failed)
    states = [state(task) for task in tasks]
    return Counts(len(states), states.count("done"), states.count("working"), states.count("failed"))


def cut(
    sheet: Sheet,
    z: int,
    done: Collection[str],
    working: Collection[str] = (),
    failed: Collection[str] = (),
    *,
    most: int = MOST_CELLS,
) -> Cut:
    """The slice `z` of a sheet, counted from its corner and brought into its range; at most `most`^2 cells."""
    z = min(max(0, z), sheet.shape[2] - 1)
    factor = max(1, math.ceil(max(sheet.shape[:2]) / most))
    squares: dict[tuple[int, int], list[Task]] = defaultdict(list)
    for task in sheet.by_slice[z]:
        x, y = (i - c for i, c in zip(task.index[:2], sheet.corner[:2], strict=True))
        squares[x // factor, y // factor].append(task)
    cells = tuple(Cell(*place, *counts(tasks, done, working, failed)) for place, tasks in squares.items())
    slices = tuple(counts(tasks, done, working, failed) for tasks in sheet.by_slice)
    return Cut(z, factor, cells, slices)


def _state(done: Collection[str], working: Collection[str], failed: Collection[str]) -> Callable[[Task], str]:
    def state(task: Task) -> str:
        if task.id in done:
            return "done"
        return "failed" if task.id in failed else "working" if task.id in working else "waiting"

    return state
