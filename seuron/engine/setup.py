"""Writing down a run, also over an earlier one in the same folder, whose results it may keep.

What is in the folder is always whole: a process that is killed here leaves the earlier run, some
of whose tasks are then looked at again, or the new one.
"""

from __future__ import annotations

from typing import Any

from seuron.engine.inputs import read_sources, save_sources
from seuron.engine.run import Run
from seuron.errors import RunError
from seuron.evaluation.scores import SCORES_FILE
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.pipelines.segmentation.plan import VolumeFacts, make_plan
from seuron.storage.locks import claims
from seuron.volumes.growth import remove_stale_blocks
from seuron.volumes.precomputed import volume_info, write_info


def plan_run(params: SegmentationParams, facts: VolumeFacts) -> Run:
    """The run of these parameters, with the marks of its input as it is now; nothing is written."""
    return Run(params, facts, read_sources(params, facts, make_plan(params, facts)))


def write_run(params: SegmentationParams, facts: VolumeFacts) -> Run:
    """Write down a run whose parameters have been checked, and make its layers.

    Raises RunError while tasks of an earlier start, which have other keys, are at work.
    """
    run = plan_run(params, facts)
    _refuse_while_at_work(run)
    if run.storage.get("run.json") is not None:
        before = Run.open(run.output)
        if before.keys != run.keys:
            _set_aside(before, run)
    save_sources(run.storage, run.sources)
    run.save()
    if run.params.store is not None:
        run.store.register(run.output)
    _create_layers(run)
    _refuse_while_at_work(run)  # a task may have looked at run.json just before it was written
    return run


def _refuse_while_at_work(run: Run) -> None:
    """Raise RunError when a task is at work whose result would not be this run's."""
    others = [
        f"{claim}, {name}"
        for name, claim in claims(run.storage, "working/")
        if run.keys.get(name.removeprefix("working/").removesuffix(".json")) != claim.key
    ]
    if others:
        shown = "; ".join(others[:3]) + ("; ..." if len(others) > 3 else "")
        raise RunError(
            f"{run.output}: {len(others)} tasks of a run with other parameters or another input are at work ({shown}). "
            "Wait for its end or stop it, then start again; of a machine that is gone, delete the files named here"
        )


def _set_aside(before: Run, run: Run) -> None:
    """Move the records of tasks that have other keys now to where the tasks look when their turn comes.

    The record of a task that is elsewhere now says nothing: others may write the same blocks.
    """
    same_place = {
        task.id for task in run.plan.tasks.values() if (old := before.plan.tasks.get(task.id)) and old.box == task.box
    }
    for name in run.storage.names("tasks/") + run.storage.names("earlier/"):
        folder, _, file = name.partition("/")
        task_id = file.removesuffix(".json")
        if task_id not in same_place:
            run.storage.delete([name])
        elif folder == "tasks" and before.keys.get(task_id) != run.keys[task_id]:
            run.storage.put(f"earlier/{file}", run.storage.get(name) or b"")
            run.storage.delete([name])
    if run.params.ground_truth is None:
        run.storage.delete([SCORES_FILE])


def _create_layers(run: Run) -> None:
    """Write the metadata of the layers that the run will fill; a layer that has grown keeps its whole blocks."""
    labels: dict[str, Any] = {"dtype": "uint64", "kind": "segmentation"}
    layers = {"supervoxels": labels, "segmentation": labels}
    if run.params.image is not None:
        layers["affinities"] = {"dtype": run.params.affinity_dtype, "channels": 3}
    for name, form in layers.items():
        info = volume_info(run.facts.box, run.facts.resolution_nm, block_size=run.params.block_size, **form)
        remove_stale_blocks(run.layer(name), info)
        write_info(run.layer(name), info)
