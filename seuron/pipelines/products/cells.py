"""Tasks of a product: a cell each, then sums of what they found, up to one for all.

A cell has a task; above it each task adds up what those below it found in its box, up to `CHILDREN` of them. Cells of
a tier above are doubled along every axis, so each lies in one of the tier above.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from seuron.box import Box, Triple
from seuron.engine.plan import MAX_TIER_TASKS, Estimate, Task, Tier
from seuron.pipelines.products.facts import ProductsFacts, ProductsRun
from seuron.pipelines.products.params import ProductsParams

#: What a task of a sum reads at most, but for the rounding of grids.
CHILDREN = 64
#: Tiers of sums at most: 64 x 64 x 64 are more cells than a tier may have.
SUM_TIERS = 3
#: Seconds and bytes of a sum: rows of tables go through memory in pieces.
SUM_NEEDS = Estimate(5.0, 1_500_000_000)

Needs = Callable[[Triple, Box], Estimate]


def cell_size(params: ProductsParams, facts: ProductsFacts) -> Triple:
    """Voxels of a cell: as many as were asked for, doubled while a tier would have too many tasks."""
    return facts.box.cell_of_at_most(MAX_TIER_TASKS, params.cell_size)


def cell_tiers(params: ProductsParams, facts: ProductsFacts, needs: Needs, cells: str, sums: str) -> Sequence[Tier]:
    """A task for each cell, then sums, one tier of them at least, the last of one task; by their roles."""
    size = cell_size(params, facts)
    tiers = [Tier.of_cells(facts.box, size, needs, role=cells)]
    while len(tiers) == 1 or len(tiers[-1]) > 1:
        size = facts.box.cell_of_at_most(-(-len(tiers[-1]) // CHILDREN), size)
        tiers.append(Tier.of_cells(facts.box, size, lambda index, box: SUM_NEEDS, role=sums))
    return tiers


def below(run: ProductsRun, task: Task) -> Iterator[Task]:
    """What a task of a sum adds up: the tasks of the tier before it in its box."""
    yield from run.plan.stage(task.stage).tiers[task.tier - 1].meeting(task.box)


def last_of(run: ProductsRun, stage: str, role: str) -> Task:
    """The one task of the last tier of a role: it has what all others of the role found."""
    return [tier for tier in run.plan.stage(stage).tiers if tier.role == role][-1][0]


def is_last(run: ProductsRun, task: Task) -> bool:
    """Whether a task is the last of its stage."""
    return task.tier == len(run.plan.stage(task.stage).tiers) - 1
