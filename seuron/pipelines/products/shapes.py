"""The plan that meshes and skeletons share: parts of shapes in cells, whole shapes in files, the list of all.

Cells are a grid of the volume that is no matter of tasks: a task has several cells (role *cell*), and its parts of
each segment go to the file that the segment's id is in (role *shard*). When all files are there, they are listed as a
viewer lists them and compared with what was made (role *list*).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import log2
from typing import Any, NamedTuple

from seuron.box import Box, Triple, triple
from seuron.engine.pipeline import LayerAttachment, Stage
from seuron.engine.plan import MAX_TIER_TASKS, Estimate, Task, Tier, Work
from seuron.pipelines.products.facts import ProductsFacts, ProductsRun
from seuron.pipelines.products.params import ProductsParams
from seuron.storage import join

CELL, SHARD, LIST = "cell", "shard", "list"
#: Voxels whose shapes lie in one file, about, and the most files: the most tasks that a tier should have.
SHARD_VOXELS, MOST_SHARD_BITS = 2**26, 14
_WORK: tuple[Work, ...] = ("cpu", "cpu", "manager")
#: What a file's task and the list's task hold, beside Python.
SHARD_NEEDS, LIST_NEEDS = Estimate(60.0, 1_500_000_000), Estimate(5.0, 600_000_000)


class CellGrid(NamedTuple):
    """The cells of a run for one kind of shape.

    Attributes:
        box: all voxels.
        edge: voxels of a cell, but for the last ones.
        before, after: how many voxels of the cells around it a cell sees as well, so that shapes meet.
    """

    box: Box
    edge: Triple
    before: Triple
    after: Triple

    def own(self, index: Triple) -> Box:
        """The voxels of a cell that no other cell has."""
        return self.box.cell(self.edge, index)

    def seen(self, index: Triple) -> Box:
        """What a cell sees: as large for all cells, and not cut to the volume."""
        corner = [m + i * e for m, i, e in zip(self.box.minimum, index, self.edge, strict=True)]
        return Box.from_shape(corner, self.edge).grown(self.before, self.after)

    def of_task(self, task: Task) -> Iterator[Triple]:
        """The cells of a task, x fastest."""
        return task.box.grid(self.edge, self.box.minimum).places()


def even_edge(voxels: int, wanted: int, unwanted_rest: int) -> int:
    """An edge near `wanted` that cuts an axis into cells of about one size.

    The last cell is as long as is left over; that is never `unwanted_rest`, of which no cell can be made.
    """
    edge = -(-voxels // max(1, round(voxels / wanted)))
    while voxels > 1 and voxels % edge == unwanted_rest:
        edge += 1
    return edge


def shard_bits(facts: ProductsFacts) -> int:
    """Two to the power of this are the files that shapes of the volume are spread over."""
    return min(MOST_SHARD_BITS, max(0, round(log2(facts.box.voxels / SHARD_VOXELS))))


class ShapeKind(NamedTuple):
    """What tells meshes and skeletons apart in the plan.

    Attributes:
        name: of the stage, the product, and the folder.
        parameters: those that the shapes depend on.
        grid: the cells of a run.
        rate: Mvox/s of a core.
        bytes_per_voxel: of a cell, while its parts are made.
    """

    name: str
    parameters: tuple[str, ...]
    grid: Callable[[ProductsParams, ProductsFacts], CellGrid]
    rate: float
    bytes_per_voxel: int

    def stage(self) -> Stage:
        """The stage of these shapes; `stages/NAME.py` does the work."""
        return Stage(
            name=self.name,
            module=f"seuron.pipelines.products.stages.{self.name}",
            version=1,
            work=_WORK,
            plan=self._plan,
            parameters=("dust_threshold", *self.parameters),
            reads=_reads,
            settings=self._settings,
            sources=self._sources,
            files=(f"{self.name}/info",),
            shareable=lambda task: task.role == CELL,
        )

    def attachment(self, params: ProductsParams) -> LayerAttachment:
        """What a viewer shows of them."""
        return LayerAttachment(self.name, join(params.output, self.name), self.name)

    def _plan(self, params: ProductsParams, facts: ProductsFacts) -> Sequence[Tier]:
        if not params.wants(self.name):
            return ()
        grid = self.grid(params, facts)
        cells = [max(1, size // edge) for size, edge in zip(params.cell_size, grid.edge, strict=True)]
        task = facts.box.cell_of_at_most(MAX_TIER_TASKS, triple([n * e for n, e in zip(cells, grid.edge, strict=True)]))
        shards = Box((0, 0, 0), (2 ** shard_bits(facts), 1, 1))
        return (
            Tier.of_cells(facts.box, task, partial(self._needs, grid), role=CELL),
            Tier.of_whole(facts.box, SHARD_NEEDS, indices=shards, role=SHARD),
            Tier.of_whole(facts.box, LIST_NEEDS, role=LIST),
        )

    def _needs(self, grid: CellGrid, index: Triple, box: Box) -> Estimate:
        x, y, z = grid.edge
        return Estimate.of_voxels(box, self.rate, self.bytes_per_voxel, x * y * z)

    def _settings(self, run: ProductsRun, task: Task) -> Mapping[str, Any]:
        grid = self.grid(run.params, run.facts)
        place = {"whole": grid.box.corners, "edge": grid.edge, "index": task.index}
        return {"voxel size": run.facts.resolution_nm, "files": shard_bits(run.facts), "place": place}

    def _sources(self, run: ProductsRun, task: Task) -> Mapping[str, Box]:
        if task.role != CELL:
            return {}
        grid = self.grid(run.params, run.facts)
        seen = [grid.seen(index) for index in _corners(grid, task)]
        return {"segmentation": seen[0].hull(seen[-1]).intersect(run.facts.box)}


def _corners(grid: CellGrid, task: Task) -> tuple[Triple, Triple]:
    """The first and the last cell of a task."""
    cells = task.box.grid(grid.edge, grid.box.minimum)
    return cells.minimum, triple([b - 1 for b in cells.maximum])


def _reads(run: ProductsRun, task: Task) -> Iterator[Task | Tier]:
    tiers = run.plan.stage(task.stage).tiers
    if task.role != CELL:
        yield tiers[task.tier - 1]
