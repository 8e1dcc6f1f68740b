"""What Airflow knows of runs and their tasks, read from its tables with the session of a request."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import select
from sqlalchemy.orm import Session

#: States of task instances that a page shows one by one.
SHOWN_STATES = ("failed", "up_for_retry", "awaiting_input")
#: Task instances that are shown one by one at most, of all runs of a page.
MAX_INSTANCES = 500


@dataclass(frozen=True)
class TaskInstanceRow:
    """A task instance: its node, its label (a planned task's), its state and its try."""

    id: str
    task_id: str
    map_index: int
    label: str
    state: str
    try_number: int

    def page(self, dag_id: str, run_id: str) -> str:
        """Its page in Airflow, below the server's root; it shows the log."""
        mapped = f"/mapped/{self.map_index}" if self.map_index >= 0 else ""
        return f"{run_page(dag_id, run_id)}/tasks/{quote(self.task_id)}{mapped}"


@dataclass(frozen=True)
class DagRunRow:
    """A run as Airflow knows it. Times are seconds since 1970."""

    dag_id: str
    run_id: str
    state: str
    output: str | None
    note: str
    started: float | None
    ended: float | None
    instances: tuple[TaskInstanceRow, ...] = ()

    @property
    def active(self) -> bool:
        return self.state in ("queued", "running")

    @property
    def gate(self) -> TaskInstanceRow | None:
        """The gate that waits for a person."""
        return next((found for found in self.instances if found.state == "awaiting_input"), None)

    @property
    def failed(self) -> tuple[TaskInstanceRow, ...]:
        return tuple(found for found in self.instances if found.state == "failed")


def run_page(dag_id: str, run_id: str) -> str:
    """The page of a run in Airflow, below the server's root."""
    return f"dags/{quote(dag_id)}/runs/{quote(run_id, safe='')}"


def last_runs(session: Session, dag_ids: Iterable[str], limit: int) -> list[DagRunRow]:
    """The newest runs of some DAGs, newest first, with those of their tasks that are shown one by one."""
    query = select(DagRun).where(DagRun.dag_id.in_(sorted(dag_ids))).order_by(DagRun.run_after.desc(), DagRun.id.desc())
    return _known(session, session.scalars(query.limit(limit)).all())


def find_run(session: Session, dag_id: str, run_id: str) -> DagRunRow | None:
    """One run; None where Airflow has no such run."""
    found = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    return None if found is None else _known(session, [found])[0]


def output_of(session: Session, dag_id: str, run_id: str) -> str | None:
    """The folder of a run; None where Airflow has no such run, or the run names none."""
    query = select(DagRun.conf).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
    return _output(session.scalar(query))


def instance_of(session: Session, run: DagRunRow, node: str, label: str) -> TaskInstanceRow | None:
    """The task instance of a planned task, which Airflow knows by its label once it has been started."""
    query = select(TaskInstance).where(
        TaskInstance.dag_id == run.dag_id,
        TaskInstance.run_id == run.run_id,
        TaskInstance.task_id == node,
        TaskInstance._rendered_map_index == label,
    )
    found = session.scalars(query.limit(1)).first()
    return None if found is None else _instance_row(found)


def _instance_row(row: Any) -> TaskInstanceRow:
    """A task instance from Airflow's row of it."""
    label = row._rendered_map_index or row.task_id
    return TaskInstanceRow(
        str(row.id), str(row.task_id), int(row.map_index), str(label), str(row.state or ""), int(row.try_number)
    )


def _known(session: Session, rows: Sequence[DagRun]) -> list[DagRunRow]:
    instances = _instances(session, rows)
    return [
        DagRunRow(
            dag_id=row.dag_id,
            run_id=str(row.run_id),
            state=str(row.state),
            output=_output(row.conf),
            note=str(row.note or ""),
            started=_seconds(row.start_date),
            ended=_seconds(row.end_date),
            instances=tuple(instances[row.dag_id, row.run_id]),
        )
        for row in rows
    ]


def _instances(session: Session, rows: Sequence[DagRun]) -> dict[tuple[str, str], list[TaskInstanceRow]]:
    table = TaskInstance
    query = select(
        table.dag_id,
        table.run_id,
        table.id,
        table.task_id,
        table.map_index,
        table.state,
        table.try_number,
        table._rendered_map_index.label("_rendered_map_index"),
    ).where(table.run_id.in_([row.run_id for row in rows]), table.state.in_(SHOWN_STATES))
    found: dict[tuple[str, str], list[TaskInstanceRow]] = defaultdict(list)
    for row in session.execute(query.order_by(table.end_date).limit(MAX_INSTANCES)):
        found[row.dag_id, row.run_id].append(_instance_row(row))
    return found


def _output(conf: Any) -> str | None:
    output = conf.get("output") if isinstance(conf, Mapping) else None
    return output if isinstance(output, str) and output else None


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()
