"""The stage `contacts`: its plan and what its tasks depend on. `stages/contacts.py` does the work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from seuron.box import Box, Triple
from seuron.engine.pipeline import Stage
from seuron.engine.plan import Estimate, Task, Tier, Work
from seuron.pipelines.products.cells import SUM_TIERS, below, cell_tiers, is_last
from seuron.pipelines.products.facts import ProductsFacts, ProductsRun
from seuron.pipelines.products.params import ProductsParams

NAME = "contacts"
#: The table that it writes in the run's folder.
TABLE = "contacts"
_CPU: tuple[Work, ...] = ("cpu",)
#: Mvox/s of a core with reading, and bytes for a voxel of a cell: labels, and affinities with a copy of them.
RATE, BYTES_PER_VOXEL, AFFINITY_BYTES = 30.0, 20, 30


def contacts_stage() -> Stage:
    """The stage; it depends on the voxels alone."""
    return Stage(
        name=NAME,
        module="seuron.pipelines.products.stages.contacts",
        version=1,
        work=_CPU * (1 + SUM_TIERS),
        plan=_plan,
        reads=_reads,
        settings=_settings,
        sources=_sources,
        files=(f"{TABLE}.parquet",),
        shareable=lambda task: task.role == "count",
    )


def _plan(params: ProductsParams, facts: ProductsFacts) -> Sequence[Tier]:
    if not params.wants(NAME):
        return ()
    held = BYTES_PER_VOXEL + (AFFINITY_BYTES if params.affinities is not None else 0)

    def needs(index: Triple, box: Box) -> Estimate:
        return Estimate.of_voxels(box, RATE, held, box.voxels)

    return cell_tiers(params, facts, needs, "count", "sum")


def _reads(run: ProductsRun, task: Task) -> Iterator[Task]:
    if task.role == "sum":
        yield from below(run, task)


def box_read(run: ProductsRun, task: Task) -> Box:
    """What a cell reads: its own voxels, and those behind its high faces."""
    return task.box.grown((0, 0, 0), (1, 1, 1)).intersect(run.facts.box)


def _settings(run: ProductsRun, task: Task) -> dict[str, Any]:
    if task.role == "count":
        return {"affinities given": run.facts.affinity_dtype, "place": {"read": box_read(run, task).corners}}
    if is_last(run, task):
        return {"affinities given": run.facts.affinity_dtype, "voxel size": run.facts.resolution_nm}
    return {}


def _sources(run: ProductsRun, task: Task) -> dict[str, Box]:
    return dict.fromkeys(run.sources, box_read(run, task)) if task.role == "count" else {}
