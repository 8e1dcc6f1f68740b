"""What waits and runs in Airflow, by queue, asked of its REST API.

What waits is counted by `total_entries`, so a look costs the same for ten tasks and for 20,000: some requests
for each queue, and a page for each hundred tasks that are at work or ended since the last look. These are read one
by one, because a count now and then would miss what tasks of seconds cost.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx

from seuron.airflow_rest import PAGE, AirflowClient
from seuron.cluster.cluster_state import QueueDepth, TasksEnded
from seuron.cluster.controller import QueueState
from seuron.cluster.costs.budgets import TierAhead, may_begin
from seuron.cluster.costs.run_costs import ActiveRun, budget_of
from seuron.errors import RunError
from seuron.orchestration.routing import WORK_TASK

#: States of a task that a free slot would be given: it waits for the scheduler's next look, or for a worker.
WAITING = ("scheduled", "queued")
#: States of a task whose last try has ended, after it had a slot.
ENDED = ("success", "failed", "up_for_retry")
#: Tasks of a node whose mean is taken: the last ones, as a tier's tasks are much alike.
MEASURED = 50
#: Pages of ended tasks that are read at one look: as many as the scheduler starts in ten minutes.
_MOST_PAGES = 40
_EVERYWHERE = "/dags/~/dagRuns/~/taskInstances"


class AirflowQueues(AirflowClient):
    """A `QueueSource` (seuron.cluster.controller) over the Airflow at a URL.

    What waits of the runs in `held` is not counted: they are to get no machines. Of the runs in `limited`, those with
    a budget, the tiers are counted that run or may run before the next step, `interval_seconds` later.
    """

    held: frozenset[str] = frozenset()
    limited: frozenset[str] = frozenset()
    interval_seconds = 60.0

    def queue_state(self, queues: Sequence[str], since: float, until: float) -> QueueState:
        """The queues now, and what was done from `since` to `until`. Raises RunError without an answer."""
        try:
            at_work = self._at_work(queues)
            running = _counts(at_work)
            return QueueState(
                depths={
                    queue: self._depth(queue, sum(counts.get(queue, 0) for counts in running.values()))
                    for queue in queues
                },
                running=running,
                # The ended ones second: one that has ended in between is among both, and counts as ended.
                busy=_busy({**at_work, **self._gone(queues, since)}, since, until),
                ended=self._ended(since),
                limited=self._limited(queues),
            )
        except httpx.HTTPError as error:
            raise self._silence(error) from error

    def active_runs(self) -> list[ActiveRun]:
        """The runs that Airflow works on and their folders. Raises RunError without an answer."""
        try:
            rows = list(self.pages("/dags/~/dagRuns", "dag_runs", {"state": ["running"]}))
        except httpx.HTTPError as error:
            raise self._silence(error) from error
        return [
            ActiveRun(
                id=str(row["dag_run_id"]),
                output=str(row["conf"]["output"]),
                started=_time(row["start_date"]),
                budget=budget_of(row["conf"]),
                page=self.run_url(str(row["dag_id"]), str(row["dag_run_id"])),
            )
            for row in rows
            if row["start_date"] and (row["conf"] or {}).get("output")
        ]

    def alert(self, run: ActiveRun, text: str) -> None:
        """Say it on the run's page, as its note. Raises RunError where that cannot be done."""
        try:
            for row in self.pages("/dags/~/dagRuns", "dag_runs", {"state": ["running"]}):
                if row["dag_run_id"] == run.id:
                    self.checked(self.send("PATCH", _run(row), json={"note": text or None}))
        except httpx.HTTPError as error:
            raise self._silence(error) from error

    def _silence(self, error: httpx.HTTPError) -> RunError:
        return RunError(f"Airflow at {self.url} does not answer ({type(error).__name__}); is it running?")

    def _count(self, path: str, query: Mapping[str, Any]) -> int:
        return int(self._get(path, {**query, "limit": 1})["total_entries"])

    def _at_work(self, queues: Sequence[str]) -> dict[str, _Slot]:
        """The tasks that run, by their id."""
        query = {"state": ["running"], "queue": list(queues), "order_by": "id"}
        return {str(row["id"]): _slot(row) for row in self.pages(_EVERYWHERE, "task_instances", query)}

    def _gone(self, queues: Sequence[str], since: float) -> dict[str, _Slot]:
        """The tasks whose last try ended after `since`, by their id; the newest, if they are too many."""
        query = {
            "state": list(ENDED),
            "queue": list(queues),
            "end_date_gte": datetime.fromtimestamp(since, UTC).isoformat(),
            "order_by": "-end_date",
        }
        found = itertools.islice(self.pages(_EVERYWHERE, "task_instances", query), _MOST_PAGES * PAGE)
        return {str(row["id"]): _slot(row) for row in found}

    def _limited(self, queues: Sequence[str]) -> dict[str, tuple[TierAhead, ...]]:
        """The tiers of each run with a budget that run, or may before the next step."""
        if not self.limited:
            return {}
        runs = self.pages("/dags/~/dagRuns", "dag_runs", {"state": ["running"]})
        return {str(run["dag_run_id"]): self._tiers(run, queues) for run in runs if run["dag_run_id"] in self.limited}

    def _tiers(self, run: Mapping[str, Any], queues: Sequence[str]) -> tuple[TierAhead, ...]:
        path, query = f"{_run(run)}/taskInstances", {"queue": list(queues), "limit": 1}
        begun = self._get(path, {**query, "state": ["running", "up_for_retry", *WAITING]})
        # Between two tiers the last one says which are to come.
        ended = {**query, "state": ["success"], "order_by": "-end_date"}
        (row,) = begun["task_instances"] or self._get(path, ended)["task_instances"] or (None,)
        work = self._work(run)
        names = list(work)
        behind = names[names.index(row["task_id"]) + 1 :] if row and row["task_id"] in names else names
        tiers = (TierAhead(str(work[name]["queue"]), int(work[name]["tasks"]), _seconds(work, name)) for name in behind)
        to_come = may_begin(tiers, self.interval_seconds)
        if row is None or not begun["total_entries"]:
            return to_come
        seconds = self._mean_seconds(row) or _seconds(work, row["task_id"])
        return (TierAhead(str(row["queue"]), int(begun["total_entries"]), seconds), *to_come)

    def _depth(self, queue: str, running: int) -> QueueDepth:
        """How much waits, and how long a task takes: of the node that waits, else of the one that runs."""
        page = self._get(_EVERYWHERE, {"state": list(WAITING), "queue": [queue], "limit": 1})
        ready, rows = int(page["total_entries"]) - self._held_back(queue), page["task_instances"]
        if not rows and running:
            rows = self._get(_EVERYWHERE, {"state": ["running"], "queue": [queue], "limit": 1})["task_instances"]
        if not rows:
            return QueueDepth(ready, running)
        return QueueDepth(ready, running, self._mean_seconds(rows[0]), self._planned_seconds(rows[0]))

    def _held_back(self, queue: str) -> int:
        """How many of a queue's waiting tasks belong to runs that are held."""
        if not self.held:
            return 0
        query = {"state": list(WAITING), "queue": [queue]}
        runs = self.pages("/dags/~/dagRuns", "dag_runs", {"state": ["running"]})
        held = (run for run in runs if run["dag_run_id"] in self.held)
        return sum(self._count(f"{_run(run)}/taskInstances", query) for run in held)

    def _mean_seconds(self, row: Mapping[str, Any]) -> float | None:
        """The mean length of the last tasks of the row's node that succeeded; None where none has."""
        query = {"task_id": row["task_id"], "state": ["success"], "order_by": "-end_date", "limit": MEASURED}
        ended = self._get(f"{_run(row)}/taskInstances", query)["task_instances"]
        seconds = [float(task["duration"]) for task in ended if task["duration"] is not None]
        return sum(seconds) / len(seconds) if seconds else None

    def _planned_seconds(self, row: Mapping[str, Any]) -> float | None:
        """What the plan says of a task of the row's node; None for other DAGs."""
        return _seconds(self._work(row), row["task_id"])

    def _work(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What the tiers of the row's run have to do, in their order, as `prepare` left it; nothing for other DAGs."""
        path = f"{_run(row)}/taskInstances/{WORK_TASK}/xcomEntries/return_value"
        response = self.send("GET", path, params={"deserialize": True})
        if response.status_code == 404:
            return {}
        value = self.checked(response)["value"]
        work: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
        return work

    def _ended(self, since: float) -> dict[str, TasksEnded]:
        """Tasks that succeeded and tasks that raised and are tried again, by worker.

        One that fails for good is not counted: its error is its own, and the tries before it were.
        """
        counts: dict[str, list[int]] = {}
        for row in self._events(since):
            name = json.loads(row["extra"] or "{}").get("host_name")
            if name:
                counts.setdefault(str(name), [0, 0])[row["event"] == "success"] += 1
        return {name: TasksEnded(failed, succeeded) for name, (failed, succeeded) in counts.items()}

    def _events(self, since: float) -> Iterator[Mapping[str, Any]]:
        query = {
            "included_events": ["success", "up_for_retry"],
            "after": datetime.fromtimestamp(since, UTC).isoformat(),
            "order_by": "-when",
            "limit": PAGE,
        }
        for page in range(_MOST_PAGES):
            rows = self._get("/eventLogs", {**query, "offset": page * PAGE})["event_logs"]
            yield from rows
            if len(rows) < PAGE:
                return


@dataclass(frozen=True)
class _Slot:
    """Who has a slot, and from when to when, in seconds since 1970; `end` is None while it is at work."""

    run: str
    queue: str
    start: float | None
    end: float | None


def _seconds(work: Mapping[str, Any], node: str) -> float | None:
    """The planned length of a task of a node."""
    return float(work[node]["seconds"]) if node in work else None


def _slot(row: Mapping[str, Any]) -> _Slot:
    start, end = (_time(row[name]) if row[name] else None for name in ("start_date", "end_date"))
    return _Slot(str(row["dag_run_id"]), str(row["queue"]), start, None if row["state"] == "running" else end)


def _counts(slots: Mapping[str, _Slot]) -> dict[str, dict[str, int]]:
    """How many there are, by run and queue."""
    found: dict[str, dict[str, int]] = {}
    for slot in slots.values():
        queues = found.setdefault(slot.run, {})
        queues[slot.queue] = queues.get(slot.queue, 0) + 1
    return found


def _busy(slots: Mapping[str, _Slot], since: float, until: float) -> dict[str, dict[str, float]]:
    """The seconds between two times that they were had for, by run and queue."""
    found: dict[str, dict[str, float]] = {}
    for slot in slots.values():
        if slot.start is None:
            continue
        end = until if slot.end is None else min(until, slot.end)
        queues = found.setdefault(slot.run, {})
        queues[slot.queue] = queues.get(slot.queue, 0.0) + max(0.0, end - max(since, slot.start))
    return found


def _time(moment: str) -> float:
    """Airflow's text of a moment, in seconds since 1970."""
    return datetime.fromisoformat(moment).timestamp()


def _run(row: Mapping[str, Any]) -> str:
    return f"/dags/{quote(row['dag_id'])}/dagRuns/{quote(row['dag_run_id'], safe='')}"
