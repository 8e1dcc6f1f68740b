"""A finished run for other tools to proofread: WebKnossos' agglomerate file, and what PyChunkedGraph ingests."""

from __future__ import annotations

from pathlib import Path

from seuron.engine.run import Run
from seuron.errors import ParameterErrors
from seuron.pipelines.segmentation.facts import SegmentationRun
from seuron.storage import local_folder
from seuron.volumes.exports.target import local_target

#: What has to be done before a run can be exported.
_STAGES = ("agglomeration", "labels")


def checked_export(output: str, target: str, overwrite: bool) -> tuple[SegmentationRun, Path]:
    """The run in the folder `output`, and the path to write to; raises ParameterErrors with all that is in the way."""
    run, problems = Run.open(output), list[str]()
    if run.pipeline.name != "segmentation":
        problems.append(f"{run.output} is a run of {run.pipeline.name}; give the folder of a run of segmentation")
    else:
        finished = run.finished_ids()
        tasks = (task.id for stage in _STAGES for tier in run.plan.stage(stage).tiers for task in tier)
        open_task = next((task for task in tasks if task not in finished), None)
        if open_task is not None:
            problems.append(f"{run.output} is not finished ({open_task} is to be done); start the run again first")
    path = local_target(target, overwrite, local_folder(run.output), problems)
    if problems or path is None:
        raise ParameterErrors(problems, "the export")
    return run, path


def edit_notes(run: SegmentationRun) -> tuple[str, ...]:
    """What is lost of a run's edit list, where it has one."""
    if run.params.edits is None:
        return ()
    return (
        "edits are in the segments, but a merge of pieces that do not touch has no edge: give it to the tool again",
    )
