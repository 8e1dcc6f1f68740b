"""The tasks of a run as maps: a grid for each tier, shown slice by slice along z.

The cells of a grid are counted, never sent one by one where there are more than a screen shows: squares of
`factor` x `factor` cells are then joined into one.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from seuron.box import Triple, triple
from seuron.engine.plan import Plan, Tier

#: Cells along a side of a slice that the browser gets at most: 16,384 in all.
MAX_CELLS = 128


class TaskCounts(NamedTuple):
    """How many tasks there are, and how many of them are done, are running, or have failed."""

    total: int
    done: int
    running: int
    failed: int


class GridCell(NamedTuple):
    """A square of a slice: its place, in units of `factor` cells, and the tasks in it."""

    x: int
    y: int
    total: int
    done: int
    running: int
    failed: int


@dataclass(frozen=True)
class GridSlice:
    """One slice of a grid: its cells, and the counts of every slice."""

    z: int
    factor: int
    cells: tuple[GridCell, ...]
    slices: tuple[TaskCounts, ...]


@dataclass(frozen=True)
class TierGrid:
    """The tasks of one tier that work on one layer, as a grid."""

    tier: Tier
    layer: str

    @property
    def stage(self) -> str:
        return self.tier.stage

    @property
    def name(self) -> str:
        return ".".join([self.stage, str(self.tier.number), *([self.layer] if self.layer else [])])

    @property
    def shape(self) -> Triple:
        """The number of cells along each axis."""
        return self.tier.indices.shape

    def task_at(self, place: Triple) -> str | None:
        """The id of the task at a place, counted from the lowest index; None outside the grid."""
        index = triple([c + p for c, p in zip(self.tier.indices.minimum, place, strict=True)])
        task = self.tier.at(index, self.layer)
        return None if task is None else task.id

    def slice_at(
        self,
        z: int,
        done: Collection[str],
        running: Collection[str] = (),
        failed: Collection[str] = (),
        *,
        max_cells: int = MAX_CELLS,
    ) -> GridSlice:
        """The slice `z`, counted from the lowest and brought into range; at most `max_cells`^2 cells."""
        nx, ny, nz = self.shape
        z = min(max(0, z), nz - 1)
        factor = max(1, math.ceil(max(nx, ny) / max_cells))
        states = self._states(done, running, failed)
        squares: dict[tuple[int, int], Counter[str]] = defaultdict(Counter)
        slices = [Counter[str]() for _ in range(nz)]
        for (i, j, k), state in states.items():
            slices[k][state] += 1
            if k == z:
                squares[i // factor, j // factor][state] += 1
        cells = tuple(
            GridCell(x, y, *_counts(_side(x, factor, nx) * _side(y, factor, ny), squares[x, y]))
            for y in range(-(-ny // factor))
            for x in range(-(-nx // factor))
        )
        return GridSlice(z, factor, cells, tuple(_counts(nx * ny, counted) for counted in slices))

    def _states(self, done: Iterable[str], running: Iterable[str], failed: Iterable[str]) -> dict[Triple, str]:
        """The state of each task that has one. What is done is neither running nor failed; what failed does not run."""
        found: dict[Triple, str] = {}
        prefix, corner = self.tier.id_prefix(self.layer), self.tier.indices.minimum
        for state, ids in (("running", running), ("failed", failed), ("done", done)):
            for task_id in ids:
                task = self.tier.find(task_id) if task_id.startswith(prefix) else None
                if task is not None:
                    found[triple([i - c for i, c in zip(task.index, corner, strict=True)])] = state
        return found


def _side(square: int, factor: int, cells: int) -> int:
    """Cells along an axis of a square; the last one may be cut."""
    return min(factor, cells - square * factor)


def _counts(total: int, counted: Counter[str]) -> TaskCounts:
    return TaskCounts(total, counted["done"], counted["running"], counted["failed"])


def tier_grids(plan: Plan) -> dict[str, TierGrid]:
    """The grids of all tiers by their names, in the plan's order."""
    grids = (TierGrid(tier, layer) for tier in plan.tiers() for layer in tier.layers)
    return {grid.name: grid for grid in grids}
