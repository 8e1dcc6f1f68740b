"""# Products

Makes what people use of a segmentation: a table of its segments, and their contacts. Any of it alone.

| stage | does | needs |
|---|---|---|
| prepare | checks parameters and input, writes the plan | manager |
| segment_table | what each segment has: voxels, box, centroid, a voxel inside | cpu |
| contacts | where two segments touch: area by axis, centroid, box, mean affinity | cpu |
| meshes | surfaces at several levels of detail, closed across cells | cpu |
| skeletons | branches with radii, joined across cells | cpu |
| report | writes `report.html` | manager |

Give `output` and `segmentation`; everything else has a default.
Starting a run again with the same parameters goes on where the last one ended.
Cells, workers, retries and crashes do not change a byte of the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seuron.engine.pipeline import Pipeline
from seuron.engine.registry import BUILT_IN
from seuron.pipelines.products.contacts import contacts_stage
from seuron.pipelines.products.facts import ProductsFacts, ProductsRun
from seuron.pipelines.products.layers import layers, stored_bytes
from seuron.pipelines.products.meshes import MESHES
from seuron.pipelines.products.params import ProductsParams, sources_of
from seuron.pipelines.products.segment_table import segment_table_stage
from seuron.pipelines.products.skeletons import SKELETONS
from seuron.pipelines.stages.report import report_stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seuron.engine.sections import Section

__all__ = ["PIPELINE"]

_ENTRY = BUILT_IN["products"]


def _check(params: ProductsParams, before: ProductsRun | None, workers: int) -> tuple[ProductsFacts | None, list[str]]:
    from seuron.pipelines.products.checks import check  # opens volumes

    return check(params, before, workers)


def _report(run: ProductsRun) -> Sequence[Section]:
    from seuron.pipelines.products.report import sections  # reads tables

    return sections(run)


PIPELINE: Pipeline[ProductsParams, ProductsFacts] = Pipeline(
    name=_ENTRY.name,
    help=_ENTRY.help,
    description=__doc__,
    params=ProductsParams,
    facts=ProductsFacts,
    check=_check,
    sources=sources_of,
    layers=layers,
    stored_bytes=stored_bytes,
    report=_report,
    paths=("segmentation", "affinities", "image", "output", "store"),
    aliases=_ENTRY.aliases,
    stages=(
        segment_table_stage(),
        contacts_stage(),
        MESHES.stage(),
        SKELETONS.stage(),
        report_stage(),
    ),
)
