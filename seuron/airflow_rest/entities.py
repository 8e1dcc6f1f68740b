"""What Airflow says of runs and tasks, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

#: States a run cannot leave by itself.
FINISHED = frozenset({"success", "failed"})


@dataclass(frozen=True)
class TierProgress:
    """How far one node of the graph is; a mapped node has one task per batch."""

    task_id: str
    states: Mapping[str, int]

    @property
    def stage(self) -> str:
        """The task group, which is the stage; the task itself where there is no group."""
        return self.task_id.partition(".")[0]

    @property
    def total(self) -> int:
        return sum(count for state, count in self.states.items() if state not in ("skipped", "removed"))

    @property
    def done(self) -> int:
        return self.states.get("success", 0)


@dataclass(frozen=True)
class GraphProgress:
    """The state of a run and of each node of its graph, in the graph's order."""

    state: str
    tiers: tuple[TierProgress, ...] = ()

    @property
    def finished(self) -> bool:
        return self.state in FINISHED


@dataclass(frozen=True)
class TaskInstance:
    """One try of one task, as Airflow knows it."""

    task_id: str
    map_index: int
    label: str
    state: str | None
    try_number: int
    start: datetime | None
    end: datetime | None

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds() if self.start and self.end else 0.0


@dataclass(frozen=True)
class TaskError:
    """Why a task failed: its label, the first meaningful line of its log, and where the rest is."""

    label: str
    message: str
    url: str

    def __str__(self) -> str:
        return f"{self.label}: {self.message}\n  log: {self.url}"

    def to_json(self) -> dict[str, str]:
        """All of it for programs."""
        return {"task": self.label, "message": self.message, "log": self.url}


@dataclass(frozen=True)
class Overhead:
    """What Airflow itself took of a finished run.

    `work_seconds` is the tasks' own work summed; `critical_seconds` is the work of the longest
    task of every tier summed, which no scheduler could go below; `busy_seconds` is the sum of what
    the tasks took as Airflow saw them: work, plus start of the process, parse, and report.
    """

    wall_seconds: float
    busy_seconds: float
    work_seconds: float
    critical_seconds: float
    tasks: int

    @property
    def seconds_per_task(self) -> float:
        """Airflow's share of a task's own time."""
        return (self.busy_seconds - self.work_seconds) / max(1, self.tasks)

    def ideal_seconds(self, slots: int) -> float:
        """The shortest wall time `slots` slots allow: the work spread evenly, or the critical path."""
        return max(self.critical_seconds, self.work_seconds / slots)

    def share(self, slots: int) -> float:
        """The part of the wall time that was not needed by the work, 0 to 1."""
        return 1.0 - min(1.0, self.ideal_seconds(slots) / self.wall_seconds) if self.wall_seconds else 0.0


@dataclass(frozen=True)
class DagRun:
    """One run of a DAG, as Airflow knows it; times are in UTC, `conf` is what it was started with."""

    dag_id: str
    run_id: str
    state: str
    note: str
    conf: Mapping[str, Any]
    asked: datetime | None
    start: datetime | None
    end: datetime | None

    @property
    def finished(self) -> bool:
        return self.state in FINISHED

    @property
    def output(self) -> str:
        """The folder that the run writes to; empty for a DAG whose runs have none."""
        return str(self.conf.get("output") or "")

    @property
    def seconds(self) -> float:
        """From start to end; 0 while it has not ended."""
        return (self.end - self.start).total_seconds() if self.start and self.end else 0.0


@dataclass(frozen=True)
class DagTimes:
    """Whether a DAG is paused, and when it runs next; None where nothing is due."""

    paused: bool
    next_run: datetime | None


def first_reason(events: Sequence[Mapping[str, Any]]) -> str | None:
    """The message of the exception that ended a task, from the lines of its log.

    The last error counts: earlier ones may have been survived. Airflow keeps the exception's type
    and text in `error_detail`, the cause of a chain after its effect.
    """
    for event in reversed(events):
        detail = event.get("error_detail")
        if detail:
            raised = detail[0]
            return f"{raised.get('exc_type', 'Error')}: {raised.get('exc_value', '')}".strip()
    errors = [str(event.get("event", "")) for event in events if event.get("level") in ("error", "critical")]
    return errors[-1] if errors else None


def parse_time(text: str | None) -> datetime | None:
    """A time of the API; None where there is none."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def task_instance(row: Mapping[str, Any]) -> TaskInstance:
    """The value of a row of the API."""
    label = row.get("rendered_map_index") or row["task_id"]
    if row["map_index"] >= 0 and not row.get("rendered_map_index"):
        label = f"{row['task_id']} {row['map_index']}"
    return TaskInstance(
        task_id=str(row["task_id"]),
        map_index=int(row["map_index"]),
        label=str(label),
        state=row["state"],
        try_number=int(row["try_number"]),
        start=parse_time(row["start_date"]),
        end=parse_time(row["end_date"]),
    )


def dag_run(row: Mapping[str, Any]) -> DagRun:
    """The value of a row of the API."""
    return DagRun(
        dag_id=str(row["dag_id"]),
        run_id=str(row["dag_run_id"]),
        state=str(row["state"]),
        note=str(row.get("note") or ""),
        conf=dict(row.get("conf") or {}),
        asked=parse_time(row.get("queued_at") or row.get("run_after")),
        start=parse_time(row.get("start_date")),
        end=parse_time(row.get("end_date")),
    )


def topological(downstream: Mapping[str, Sequence[str]]) -> list[str]:
    """The nodes, each after all of its upstream ones."""
    waiting = dict.fromkeys(downstream, 0)
    for targets in downstream.values():
        for target in targets:
            waiting[target] += 1
    ready = [node for node, count in waiting.items() if count == 0]
    order: list[str] = []
    while ready:
        node = ready.pop(0)
        order.append(node)
        for target in downstream[node]:
            waiting[target] -= 1
            if waiting[target] == 0:
                ready.append(target)
    return order
