"""A look at one start of a run: what Airflow says of it, and what its folder does, put together."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from seuron.client.entities import DagRun, TierProgress
from seuron.client.rest import AirflowClient
from seuron.client.statuses import RunStatus
from seuron.engine.progress import StageProgress, stage_progress
from seuron.engine.states import RunState, Stop, read_stop, read_stops, state_in_airflow, state_in_folder
from seuron.errors import SeuronError
from seuron.storage import Storage

if TYPE_CHECKING:
    from seuron.compute.run_costs import RunCosts
    from seuron.engine.run import Run


def look_at_start(client: AirflowClient, row: DagRun, storage: Storage | None, *, stages: bool = True) -> RunStatus:
    """The status of one start; `storage` is the run's folder, None where it cannot be reached from here.

    Without `stages` no more is asked than what tells the state.
    """
    stop = _stop(row, storage)
    counts = _task_counts(client, row) if not row.finished else {}
    budget, costs = _money(row.conf, storage)
    state = state_in_airflow(
        row.state,
        stop,
        started=_seconds(row.start),
        held=bool(costs and costs.hold and not counts.get("running")),
        inspecting=not row.finished and client.waits_for_person(row.dag_id, row.run_id),
    )
    told = stop if state in (RunState.CANCELLED, RunState.HELD) else None
    return RunStatus(
        id=row.run_id,
        dag=row.dag_id,
        output=row.output,
        state=state,
        asked=_seconds(row.asked),
        started=_seconds(row.start),
        ended=_seconds(row.end) if row.finished else None,
        stages=_stages(client, row, storage) if stages else (),
        running=counts.get("running", 0),
        retrying=counts.get("up_for_retry", 0),
        dollars=costs.dollars if costs else None,
        budget=budget,
        alert=costs.alert if costs and not row.finished else "",
        stop=told.sentence if told else "",
        page=client.run_url(row.dag_id, row.run_id),
    )


def look_at_folder(run: Run, dag: str) -> RunStatus:
    """The status of a run that no Airflow knows, from its folder: a local one, or one of another deployment."""
    from seuron.storage.locks import claims

    prepared, now = prepared_at(run.storage), time.time()
    stages = stage_progress(run, since=prepared, now=now)
    stops = read_stops(run.storage)
    complete = all(stage.complete for stage in stages)
    at_work = any(True for _ in claims(run.storage, "working/"))
    state = state_in_folder(complete=complete, at_work=at_work, prepared=prepared, stops=stops)
    budget, costs = _money(run.params.model_dump(), run.storage)
    return RunStatus(
        id="",
        dag=dag,
        output=run.output,
        state=state,
        asked=prepared or None,
        started=prepared or None,
        stages=stages,
        dollars=costs.dollars if costs else None,
        budget=budget,
        stop=stops[-1].sentence if state in (RunState.CANCELLED, RunState.HELD) else "",
    )


def prepared_at(storage: Storage) -> float:
    """When the run in a folder was prepared, s since 1970; 0 where the folder does not say it."""
    return float(json.loads(storage.get("run.json") or b"{}").get("prepared", 0.0))


def _stop(row: DagRun, storage: Storage | None) -> Stop | None:
    """Who stopped a start: the folder knows best, as a note can be written over."""
    if row.state != "failed":
        return None
    written = None if storage is None else read_stop(storage, row.run_id)
    return written or Stop.of_note(row.run_id, row.note)


def _stages(client: AirflowClient, row: DagRun, storage: Storage | None) -> tuple[StageProgress, ...]:
    """From the folder where it is there, as that counts what earlier starts have finished; else from Airflow."""
    from seuron.engine.run import Run

    if storage is not None:
        try:
            run = Run.open(storage.path)
        except SeuronError:
            return ()  # not prepared yet
        return stage_progress(run, since=_seconds(row.start) or 0.0, now=time.time())
    return _by_stage(client.progress(row.dag_id, row.run_id).tiers)


def _by_stage(tiers: tuple[TierProgress, ...]) -> tuple[StageProgress, ...]:
    """Mapped tasks by their stage. A tier that Airflow has not expanded yet counts as one task."""
    found: dict[str, list[int]] = {}
    for tier in tiers:
        stage, _, node = tier.task_id.partition(".")
        if node.startswith("tier_") and tier.total:
            done, total = found.get(stage, [0, 0])
            found[stage] = [done + tier.done, total + tier.total]
    return tuple(StageProgress(stage, done, total) for stage, (done, total) in found.items())


def _task_counts(client: AirflowClient, row: DagRun) -> Mapping[str, int]:
    return {state: client.count_tasks(row.dag_id, row.run_id, state) for state in ("running", "up_for_retry")}


def _money(conf: Mapping[str, Any], storage: Storage | None) -> tuple[float | None, RunCosts | None]:
    """The run's own budget in dollars, and what it has cost under that; None where no cluster has worked for it."""
    from seuron.compute.run_costs import budget_of, read_costs

    budget = budget_of(conf)
    costs = None if storage is None else read_costs(storage)
    return budget, None if costs is None else costs.under(budget)


def _seconds(time_of: datetime | None) -> float | None:
    return None if time_of is None else time_of.timestamp()
