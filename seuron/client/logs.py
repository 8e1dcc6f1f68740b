"""The logs of a run's tasks, by what people call them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seuron.airflow_rest.client import AirflowClient
from seuron.airflow_rest.entities import TaskInstance
from seuron.engine.plan import id_of_label
from seuron.errors import NotFoundError, did_you_mean

#: Failed tasks whose logs are given when none is asked for.
SHOWN = 3


@dataclass(frozen=True)
class TaskLog:
    """The log of a task's last try: its label, state, how many tries, its lines, and the page that shows it."""

    label: str
    state: str
    tries: int
    lines: tuple[str, ...]
    url: str


def task_logs(client: AirflowClient, dag: str, run_id: str, task: str | None) -> list[TaskLog]:
    """The logs of the tasks of a label or node; without one of those that failed, else of the one started last.

    Raises NotFoundError for a label that no task has, with those that are near.
    """
    if task is None:
        chosen = client.task_instances(dag, run_id, states=["failed"])[:SHOWN]
        chosen = chosen or _last_started(client.task_instances(dag, run_id))
    else:
        chosen = _named(task, client.task_instances(dag, run_id))
    return [
        TaskLog(
            label=found.label,
            state=found.state or "waiting",
            tries=found.try_number,
            lines=tuple(_line(event) for event in client.log_events(dag, run_id, found) if _is_of_task(event)),
            url=client.task_url(dag, run_id, found),
        )
        for found in chosen
    ]


def _last_started(tasks: Sequence[TaskInstance]) -> list[TaskInstance]:
    started = [task for task in tasks if task.start is not None and not task.task_id.startswith("batches.")]
    return [max(started, key=lambda task: (task.start is not None and task.start, task.task_id))] if started else []


def _named(name: str, tasks: Sequence[TaskInstance]) -> list[TaskInstance]:
    wanted = _plain(name)
    for names in (lambda task: (task.label, id_of_label(task.label)), lambda task: (task.task_id,)):
        found = [task for task in tasks if wanted in {_plain(word) for word in names(task)}]
        if found:
            return found[:SHOWN]
    labels = sorted({task.label for task in tasks if not task.task_id.startswith("batches.")})
    hint = did_you_mean(name, labels, f"some are {', '.join(labels[:8])}", most=3, cutoff=0.4)
    raise NotFoundError(f"no task is called {name!r}; {hint}")


def _plain(text: str) -> str:
    return "".join(text.lower().split())


def _is_of_task(event: Mapping[str, Any]) -> bool:
    """Whether a line is of the task: Airflow adds some of its own, about where it found the log, and folds."""
    return "timestamp" in event and not str(event.get("event", "")).startswith(("::group::", "::endgroup::"))


def _line(event: Mapping[str, Any]) -> str:
    """One event of a structured log as people read it, an exception's text under it."""
    at, level = str(event.get("timestamp", ""))[:19].replace("T", " "), str(event.get("level", ""))
    line = " ".join(word for word in (at, level, str(event.get("event", ""))) if word)
    for raised in event.get("error_detail") or ():
        line += f"\n  {raised.get('exc_type', 'Error')}: {raised.get('exc_value', '')}"
    return line
