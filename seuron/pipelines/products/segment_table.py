"""The stage `segment_table`: its plan and what its tasks depend on. `stages/segment_table.py` does the work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from seuron.box import Box, Triple
from seuron.engine.pipeline import Stage
from seuron.engine.plan import Estimate, Task, Tier, Work
from seuron.pipelines.products.cells import SUM_TIERS, below, cell_tiers, is_last, last_of
from seuron.pipelines.products.facts import ProductsFacts, ProductsRun
from seuron.pipelines.products.params import ProductsParams

NAME = "segment_table"
#: What it writes in the run's folder: a table, and a folder of Neuroglancer's.
TABLE, PROPERTIES = "segments", "segment_properties"
#: And the largest segments, which a viewer selects at first.
LARGEST = "largest_segments.json"
_CPU: tuple[Work, ...] = ("cpu",)
#: Mvox/s of a core in each pass, and bytes for a voxel of a cell (docs/performance.md).
RATE, BYTES_PER_VOXEL = 30.0, 20


def segment_table_stage() -> Stage:
    """The stage; it depends on the voxels alone."""
    return Stage(
        name=NAME,
        module="seuron.pipelines.products.stages.segment_table",
        version=1,
        work=_CPU * (2 + 2 * SUM_TIERS),
        plan=_plan,
        reads=_reads,
        settings=_settings,
        sources=_sources,
        files=(f"{TABLE}.parquet", f"{PROPERTIES}/info", LARGEST),
        shareable=lambda task: task.role != "nearest",
    )


def _plan(params: ProductsParams, facts: ProductsFacts) -> Sequence[Tier]:
    if not params.wants(NAME):
        return ()

    def needs(index: Triple, box: Box) -> Estimate:
        return Estimate.of_voxels(box, RATE, BYTES_PER_VOXEL, box.voxels)

    counts = cell_tiers(params, facts, needs, "count", "sum")
    return (*counts, *cell_tiers(params, facts, needs, "inside", "nearest"))


def _reads(run: ProductsRun, task: Task) -> Iterator[Task]:
    if task.role in ("sum", "nearest"):
        yield from below(run, task)
    if task.role == "inside" or is_last(run, task):
        yield last_of(run, NAME, "sum")


def _settings(run: ProductsRun, task: Task) -> dict[str, Any]:
    if task.role == "inside":
        return {"voxel size": run.facts.resolution_nm}
    if not is_last(run, task):
        return {}
    shown = {"dust_threshold": run.params.dust_threshold, "voxel size": run.facts.resolution_nm}
    return {**shown, "place": {"whole": run.facts.box.corners}}


def _sources(run: ProductsRun, task: Task) -> dict[str, Box]:
    return {"segmentation": task.box} if task.role in ("count", "inside") else {}
