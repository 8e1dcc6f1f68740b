"""The rows of the page Runs, and the head of the page Volume: what Airflow knows and what is in the run's folder."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from seuron.cluster.costs.run_costs import read_costs
from seuron.engine.gates import answers, last_answer
from seuron.engine.plan import id_of_label
from seuron.engine.progress import stage_progress, total_seconds_left
from seuron.engine.states import RunState, Stop, read_stop, state_in_airflow
from seuron.errors import SeuronError
from seuron.orchestration.pages.airflow_rows import DagRunRow, TaskInstanceRow, run_page
from seuron.orchestration.pages.reasons import reason_of
from seuron.storage import Storage
from seuron.web.snapshot import RunSnapshot, SnapshotCache
from seuron.web.stage_counts import StageCounts, count_run

#: Failures of a run that are shown with their reason.
MAX_FAILURES = 3


def run_row(session: Session, snapshots: SnapshotCache, run: DagRunRow, *, newest: bool) -> dict[str, Any]:
    """A run as the page Runs shows it; where its folder cannot be read, what Airflow knows, and the problem.

    `newest` says that no later run goes on in the same folder: only then is what lies there this run's.
    """
    try:
        return _row(session, snapshots, run, newest=newest)
    except SeuronError as error:
        row = _row(session, snapshots, replace(run, output=None), newest=False)
        return {**row, "name": _name(run), "output": run.output, "problem": str(error)}


def _row(session: Session, snapshots: SnapshotCache, run: DagRunRow, *, newest: bool) -> dict[str, Any]:
    snapshot = snapshots.get(run.output) if run.output else None
    storage = Storage(run.output) if run.output else None
    costs = read_costs(storage) if storage is not None and newest else None
    stop = _stop(run, storage)
    held = bool(costs and costs.hold) and not (snapshot and snapshot.running)
    state = state_in_airflow(run.state, stop, started=run.started, held=held, inspecting=run.gate is not None)
    row: dict[str, Any] = {
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "name": _name(run),
        "output": run.output,
        "state": str(state),
        "stop": stop.sentence if stop and state in (RunState.CANCELLED, RunState.HELD) else "",
        "note": run.note,
        "started": run.started,
        "ended": run.ended,
        "page": run_page(run.dag_id, run.run_id),
        "problem": "",
        "dollars": costs.dollars if costs else None,
        "failures": [_failure(session, run, found) for found in run.failed[:MAX_FAILURES]],
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
    if snapshot is not None and newest:
        row["progress"] = _progress(snapshot, run)
        row["report"] = snapshot.run.storage.get("report.html") is not None
    return row


def _name(run: DagRunRow) -> str:
    return (run.output or run.run_id).rstrip("/").rsplit("/", 1)[-1]


def _stop(run: DagRunRow, storage: Storage | None) -> Stop | None:
    """Who ended a run: its folder knows best, as a note can be written over."""
    if run.state != "failed":
        return None
    written = read_stop(storage, run.run_id) if storage is not None else None
    return written or Stop.of_note(run.run_id, run.note)


def _gate(run: DagRunRow, instance: TaskInstanceRow, storage: Storage | None) -> dict[str, Any]:
    """The gate that waits, where to answer it, and what was wrong with the last answer."""
    stage = instance.task_id.partition(".")[0]
    given = [answer for answer in answers(storage, stage) if answer.run_id == run.run_id] if storage else []
    return {
        "stage": stage,
        "page": f"{instance.page(run.dag_id, run.run_id)}/required_actions",
        "problems": list(given[-1].problems) if given else [],
    }


def _failure(session: Session, run: DagRunRow, instance: TaskInstanceRow) -> dict[str, str]:
    page = instance.page(run.dag_id, run.run_id)
    return {"label": instance.label, "reason": reason_of(session, instance), "page": page}


def failed_tasks(snapshot: RunSnapshot, run: DagRunRow) -> frozenset[str]:
    """The planned tasks that Airflow knows to have failed, by their labels."""
    labels = {found.label for found in run.failed}
    if not labels:
        return frozenset()
    return frozenset(id_of_label(label) for label in labels)


def _progress(snapshot: RunSnapshot, run: DagRunRow) -> dict[str, Any]:
    counts = count_run(snapshot, failed_tasks(snapshot, run))
    left = None
    if run.state == "running" and run.started is not None and run.gate is None:
        left = total_seconds_left(stage_progress(snapshot.run, since=run.started, now=time.time()))
    current = counts.current
    return {
        "tasks": counts.tasks,
        "done": counts.done,
        "share": counts.share,
        "seconds_left": left,
        "stage": current.name if current else None,
        "stages": [_stage_row(stage) for stage in counts.stages],
        **_voxels(snapshot),
    }


def _stage_row(stage: StageCounts) -> dict[str, Any]:
    return {
        "name": stage.name,
        "tasks": stage.tasks,
        "done": stage.done,
        "running": stage.running,
        "failed": stage.failed,
        "chunks": stage.chunks,
        "chunks_done": stage.chunks_done,
        "seconds": stage.seconds,
        "grids": list(stage.grids),
    }


def _voxels(snapshot: RunSnapshot) -> dict[str, Any]:
    facts = snapshot.run.facts
    return {"shape": list(facts.box.shape), "resolution_nm": list(facts.resolution_nm)}
