"""# Segmentation

Turns an electron-microscope volume into segmented neurons.

| stage | does | needs |
|---|---|---|
| prepare | checks parameters and input, writes the plan | manager |
| affinities | predicts affinities from the image, patch by patch | gpu (or cpu) |
| watershed | cuts affinities into supervoxels, chunk by chunk, then joins over chunk faces | cpu, memory |
| remap_supervoxels | carries the supervoxels' final ids down the octree | cpu |
| agglomeration | joins supervoxels by the mean affinity of their contact | cpu, memory |
| remap_segments | carries the segments' final ids down the octree | cpu |
| edits | carries out what proofreaders decided, where there is an edit list | cpu |
| labels | writes supervoxels and segments as volumes | cpu |
| pyramid | makes the coarser scales of every layer | cpu |
| evaluation | scores the segmentation against ground truth, where there is one | cpu |
| report | writes `report.html` | manager |

Give `output`, and one of `image` and `affinities`; everything else has a default.
Each stage is a row of tiers, and each tier holds as many tasks as the volume needs: tiers it does not need are skipped.
Starting a run again with the same parameters goes on where the last one ended.
Chunk sizes, batches, workers, retries and crashes do not change a byte of the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seuron.engine.pipeline import Pipeline, Stage
from seuron.engine.plan import Task, Work
from seuron.engine.registry import BUILT_IN
from seuron.pipelines.segmentation import dependencies, plan, settings
from seuron.pipelines.segmentation.facts import SegmentationRun, VolumeFacts
from seuron.pipelines.segmentation.layers import layers, stored_bytes
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.pipelines.segmentation.presets import PRESETS
from seuron.pipelines.stages.predict import predict_stage
from seuron.pipelines.stages.pyramid import pyramid_stage
from seuron.pipelines.stages.report import report_stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seuron.engine.sections import Section

__all__ = ["PIPELINE"]

_STAGES = "seuron.pipelines.segmentation.stages"
_ENTRY = BUILT_IN["segmentation"]
_CPU: tuple[Work, ...] = ("cpu",)


def _check(
    params: SegmentationParams, before: SegmentationRun | None, workers: int
) -> tuple[VolumeFacts | None, list[str]]:
    from seuron.pipelines.segmentation.checks import check  # opens volumes

    return check(params, before, workers)


def _replacements(before: SegmentationRun, run: SegmentationRun) -> list[str]:
    from seuron.pipelines.segmentation.checks import replacement_problems

    return replacement_problems(before, run)


def _report(run: SegmentationRun) -> Sequence[Section]:
    from seuron.pipelines.segmentation.report import sections  # draws pictures

    return sections(run)


def _completed(params: SegmentationParams) -> SegmentationParams:
    from seuron.pipelines.segmentation.model_thresholds import with_model_thresholds  # reads the model

    return with_model_thresholds(params)


def _notes(params: SegmentationParams) -> list[str]:
    from seuron.pipelines.segmentation.model_thresholds import threshold_notes  # reads the model

    return threshold_notes(params)


def _warnings(params: SegmentationParams, facts: VolumeFacts) -> list[str]:
    from seuron.pipelines.segmentation.plausibility import input_warnings  # opens volumes

    return input_warnings(params, facts)


def _chunks(run: SegmentationRun, task: Task) -> int:
    """The chunks of a leaf of an octree."""
    if task.role != "leaf":
        return 0
    return task.box.grid(run.params.chunk_size, run.facts.id_frame.minimum).voxels


def _in_store(task: Task) -> bool:
    return True


def _counts_in_store(task: Task) -> bool:
    """Contingency tables lie in the store, the scores that are made of them in the run's folder."""
    return task.tier == 0


PIPELINE: Pipeline[SegmentationParams, VolumeFacts] = Pipeline(
    name=_ENTRY.name,
    help=_ENTRY.help,
    description=__doc__,
    params=SegmentationParams,
    facts=VolumeFacts,
    check=_check,
    replacements=_replacements,
    sources=settings.sources,
    layers=layers,
    stored_bytes=stored_bytes,
    report=_report,
    completed=_completed,
    notes=_notes,
    warnings=_warnings,
    chunks=_chunks,
    paths=("image", "affinities", "image_mask", "output_mask", "semantic", "ground_truth", "edits", "output", "store"),
    presets=PRESETS,
    aliases=_ENTRY.aliases,
    stages=(
        predict_stage("affinities", parameters=("affinity_dtype",)),
        Stage(
            name="watershed",
            module=f"{_STAGES}.watershed",
            version=4,
            work=_CPU * (plan.OCTREE_TIERS + len(plan.CLOSING)),
            plan=plan.watershed_tiers,
            parameters=(
                "chunk_size",
                "watershed_high",
                "watershed_low",
                "watershed_size",
                "watershed_dust",
                "semantic_classes",
            ),
            reads=dependencies.watershed_reads,
            settings=settings.watershed_settings,
            sources=settings.watershed_sources,
            shareable=_in_store,
        ),
        Stage(
            name="remap_supervoxels",
            module=f"{_STAGES}.remap",
            version=4,
            work=_CPU * (plan.OCTREE_TIERS - 2),
            plan=plan.supervoxel_remap_tiers,
            reads=dependencies.supervoxel_remap_reads,
            shareable=_in_store,
        ),
        Stage(
            name="agglomeration",
            module=f"{_STAGES}.agglomeration",
            version=4,
            work=_CPU * (plan.OCTREE_TIERS + 2 * plan.ROUNDS),
            plan=plan.agglomeration_tiers,
            parameters=("chunk_size", "agglomeration_threshold", "constraints", "semantic_classes"),
            reads=dependencies.agglomeration_reads,
            settings=settings.agglomeration_settings,
            shareable=_in_store,
        ),
        Stage(
            name="remap_segments",
            module=f"{_STAGES}.remap",
            version=2,
            work=_CPU * (plan.OCTREE_TIERS - 2),
            plan=plan.segment_remap_tiers,
            reads=dependencies.segment_remap_reads,
            shareable=_in_store,
        ),
        Stage(
            name="edits",
            module=f"{_STAGES}.edits",
            version=1,
            work=_CPU,
            plan=plan.edit_tiers,
            reads=dependencies.edit_reads,
            settings=settings.edit_settings,
            shareable=_in_store,
        ),
        Stage(
            name="labels",
            module=f"{_STAGES}.labels",
            version=1,
            work=("cpu",),
            plan=plan.label_tiers,
            parameters=("chunk_size", "block_size"),
            reads=dependencies.label_reads,
            settings=settings.label_settings,
        ),
        pyramid_stage(layers, origin=plan.grid_origin, parameters=("block_size",)),
        Stage(
            name="evaluation",
            module=f"{_STAGES}.evaluation",
            version=2,
            work=("cpu", "manager"),
            plan=plan.evaluation_tiers,
            reads=dependencies.evaluation_reads,
            sources=settings.evaluation_sources,
            files=("scores.json",),
            shareable=_counts_in_store,
        ),
        report_stage(),
    ),
)
