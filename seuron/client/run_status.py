"""The status of a run: from what Airflow knows of one of its starts, and from its folder."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from seuron.airflow_rest.client import AirflowClient
from seuron.airflow_rest.entities import DagRun, TierProgress
from seuron.client.run_names import short_name
from seuron.engine.progress import StageProgress, stage_progress, total_seconds_left
from seuron.engine.states import RunState, Stop, read_stop, read_stops, state_in_airflow, state_in_folder
from seuron.storage import Storage

if TYPE_CHECKING:
    from seuron.cluster.costs.run_costs import RunCosts
    from seuron.engine.run import Run


@dataclass(frozen=True)
class RunStatus:
    """The status of a run. Times are seconds since 1970; `id` is Airflow's, empty for a run without it.

    `running` and `retrying` count tasks that run and tasks that wait for another try. `dollars` is what the
    run has cost on a cluster, `budget` what it may cost (None: no limit of its own), `alert` which budget holds it and
    what to do. `stop` is who ended it and why, `page` where Airflow shows it. `problem` is why its folder cannot be
    read; what is only known from there is left out then.
    """

    id: str
    dag: str
    output: str
    state: RunState
    asked: float | None = None
    started: float | None = None
    ended: float | None = None
    stages: Sequence[StageProgress] = ()
    running: int = 0
    retrying: int = 0
    dollars: float | None = None
    budget: float | None = None
    alert: str = ""
    stop: str = ""
    page: str = ""
    problem: str = ""

    @property
    def name(self) -> str:
        """What people call the run."""
        return short_name(self.output, self.id)

    @property
    def active(self) -> bool:
        """Whether Airflow has not ended this start of the run."""
        return self.ended is None and not self.state.finished

    @property
    def done(self) -> int:
        return sum(stage.done for stage in self.stages)

    @property
    def total(self) -> int:
        return sum(stage.total for stage in self.stages)

    @property
    def stage(self) -> str:
        """The stage that is not complete yet; empty when all are, or none is known."""
        return next((stage.name for stage in self.stages if not stage.complete), "")

    @property
    def seconds_left(self) -> float | None:
        """Wall time until the end at the pace so far; None where it is not known."""
        return total_seconds_left(self.stages) if self.stages and self.active else None

    @property
    def sentence(self) -> str:
        """The run in one line, such as `first: running, watershed, 5 of 16 tasks, about 2 min 10 s left`."""
        from seuron.reporting.quantities import duration

        words = [str(self.state)]
        if self.active and self.stages:
            words += [self.stage, f"{self.done} of {self.total} tasks"]
            left = self.seconds_left
            words += [f"about {duration(left)} left"] if left is not None else []
        elif self.started is not None and self.ended is not None:
            words.append(f"after {duration(self.ended - self.started)}")
        words.append(f"${self.money}" if self.money else "")
        return f"{self.name}: " + ", ".join(word for word in words if word) + (f" ({self.stop})" if self.stop else "")

    @property
    def money(self) -> str:
        """Dollars so far, and of how many; empty where no cluster has worked for the run and it has no budget."""
        if self.dollars is None and self.budget is None:
            return ""
        return f"{self.dollars or 0.0:.2f}" + (f" of {self.budget:.2f}" if self.budget is not None else "")

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data, the derived figures included."""
        derived = {
            "name": self.name,
            "stage": self.stage,
            "done": self.done,
            "total": self.total,
            "seconds_left": self.seconds_left,
        }
        return {**asdict(self), **derived}


def status_of_start(client: AirflowClient, row: DagRun, storage: Storage | None, *, stages: bool = True) -> RunStatus:
    """The status of one start; `storage` is the run's folder, None where it cannot be reached from here.

    Without `stages` only what the state needs is requested.
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
    reason = stop if state in (RunState.CANCELLED, RunState.HELD) else None
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
        stop=reason.sentence if reason else "",
        page=client.run_url(row.dag_id, row.run_id),
    )


def status_of_folder(run: Run, dag: str) -> RunStatus:
    """The status of a run that no Airflow knows, from its folder: a local one, or one of another deployment."""
    from seuron.engine.run import prepared_at
    from seuron.storage.locks import locks

    prepared, now = prepared_at(run.storage), time.time()
    stages = stage_progress(run, since=prepared, now=now)
    stops = read_stops(run.storage)
    complete = all(stage.complete for stage in stages)
    running = any(True for _ in locks(run.storage, "locks/"))
    state = state_in_folder(complete=complete, at_work=running, prepared=prepared, stops=stops)
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


def _stop(row: DagRun, storage: Storage | None) -> Stop | None:
    """Who stopped a start: the folder decides, as a note can be overwritten."""
    if row.state != "failed":
        return None
    written = None if storage is None else read_stop(storage, row.run_id)
    return written or Stop.of_note(row.run_id, row.note)


def _stages(client: AirflowClient, row: DagRun, storage: Storage | None) -> tuple[StageProgress, ...]:
    """From the folder where it is there, as that counts what earlier starts have finished; else from Airflow."""
    from seuron.engine.run import Run

    if storage is not None:
        if storage.get("run.json") is None:
            return ()  # not prepared yet
        return stage_progress(Run.open(storage.path), since=_seconds(row.start) or 0.0, now=time.time())
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
    from seuron.cluster.costs.run_costs import budget_of, read_costs

    budget = budget_of(conf)
    costs = None if storage is None else read_costs(storage)
    return budget, None if costs is None else costs.under(budget)


def _seconds(time_of: datetime | None) -> float | None:
    return None if time_of is None else time_of.timestamp()
