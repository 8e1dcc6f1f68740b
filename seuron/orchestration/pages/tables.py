"""The rows of the page Runs, and the head of the page Volume: Airflow's facts and the run's folder together."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy.orm import Session

from seuron.compute.run_costs import read_costs
from seuron.engine.gates import answers, last_answer
from seuron.engine.progress import stage_progress, total_seconds_left
from seuron.engine.states import RunState, Stop, read_stop, state_in_airflow
from seuron.errors import SeuronError
from seuron.orchestration.pages.facts import Instance, KnownRun, run_page
from seuron.orchestration.pages.reasons import reason_of
from seuron.pages.look import Look, Looks
from seuron.pages.progress import StageProgress, progress_of
from seuron.storage import Storage

#: Failures of a run that are told with their reason.
FAILURES_TOLD = 3


def run_row(session: Session, looks: Looks, run: KnownRun, *, newest: bool) -> dict[str, Any]:
    """A run as the page Runs shows it.

    `newest` says that no later run goes on in the same folder: only then is what lies there this run's.
    """
    look, problem = _look(looks, run)
    storage = Storage(run.output) if run.output else None
    costs = read_costs(storage) if storage is not None and newest else None
    stop = _stop(run, storage)
    held = bool(costs and costs.hold) and not (look and look.working)
    state = state_in_airflow(run.state, stop, started=run.started, held=held, inspecting=run.gate is not None)
    row: dict[str, Any] = {
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "name": (run.output or run.run_id).rstrip("/").rsplit("/", 1)[-1],
        "output": run.output,
        "state": str(state),
        "stop": stop.sentence if stop and state in (RunState.CANCELLED, RunState.HELD) else "",
        "note": run.note,
        "started": run.started,
        "ended": run.ended,
        "page": run_page(run.dag_id, run.run_id),
        "problem": problem,
        "dollars": costs.dollars if costs else None,
        "failures": [_failure(session, run, told) for told in run.failed[:FAILURES_TOLD]],
        "failed": len(run.failed),
        "gate": None,
        "successor": None,
        "progress": None,
        "report": False,
    }
    if run.gate is not None:
        row["gate"] = _gate(run, run.gate, storage)
    if storage is not None and stop is not None and (answer := last_answer(storage, run.run_id)) is not None:
        row["successor"] = answer.successor or None
    if look is not None and newest:
        row["progress"] = _progress(look, run)
        row["report"] = any(task.id in look.done for task in look.run.plan.stage("report").tasks)
    return row


def _look(looks: Looks, run: KnownRun) -> tuple[Look | None, str]:
    if run.output is None:
        return None, ""
    try:
        return looks.at(run.output), ""
    except SeuronError as error:
        return None, str(error)


def _stop(run: KnownRun, storage: Storage | None) -> Stop | None:
    """Who ended a run: its folder knows best, as a note can be written over."""
    if run.state != "failed":
        return None
    written = read_stop(storage, run.run_id) if storage is not None else None
    return written or Stop.of_note(run.run_id, run.note)


def _gate(run: KnownRun, told: Instance, storage: Storage | None) -> dict[str, Any]:
    """The gate that waits, where to answer it, and what was wrong with the last answer."""
    stage = told.task_id.partition(".")[0]
    given = [answer for answer in answers(storage, stage) if answer.run_id == run.run_id] if storage else []
    return {
        "stage": stage,
        "page": f"{told.page(run.dag_id, run.run_id)}/required_actions",
        "problems": list(given[-1].problems) if given else [],
    }


def _failure(session: Session, run: KnownRun, told: Instance) -> dict[str, str]:
    return {"label": told.label, "reason": reason_of(session, told), "page": told.page(run.dag_id, run.run_id)}


def failed_tasks(look: Look, run: KnownRun) -> frozenset[str]:
    """The planned tasks that Airflow knows to have failed, by their labels."""
    labels = {told.label for told in run.failed}
    return (
        frozenset(task.id for task in look.run.plan.tasks.values() if task.label in labels) if labels else frozenset()
    )


def _progress(look: Look, run: KnownRun) -> dict[str, Any]:
    progress = progress_of(look, failed_tasks(look, run))
    left = None
    if run.state == "running" and run.started is not None and run.gate is None:
        left = total_seconds_left(stage_progress(look.run, since=run.started, now=time.time()))
    current = progress.current
    return {
        "tasks": progress.tasks,
        "done": progress.done,
        "share": progress.share,
        "seconds_left": left,
        "stage": current.name if current else None,
        "stages": [_stage_row(stage) for stage in progress.stages],
        **_voxels(look),
    }


def _stage_row(stage: StageProgress) -> dict[str, Any]:
    return {
        "name": stage.name,
        "tasks": stage.tasks,
        "done": stage.done,
        "working": stage.working,
        "failed": stage.failed,
        "chunks": stage.chunks,
        "chunks_done": stage.chunks_done,
        "seconds": stage.seconds,
        "sheets": list(stage.sheets),
    }


def _voxels(look: Look) -> dict[str, Any]:
    facts = look.run.facts
    return {"shape": list(facts.box.shape), "resolution_nm": list(facts.resolution_nm)}
