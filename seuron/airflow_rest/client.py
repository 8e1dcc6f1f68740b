"""The client of Airflow's REST API: trigger a run, follow it, find out why it failed, cancel it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from seuron.airflow_rest.entities import (
    FINISHED,
    DagRun,
    DagTimes,
    GraphProgress,
    Overhead,
    TaskError,
    TaskInstance,
    TierProgress,
    dag_run,
    first_reason,
    parse_time,
    task_instance,
    topological,
)
from seuron.errors import NotFoundError, RefusedError, RunError, UnreachableError

#: Airflow returns at most this many rows a page, whatever is asked for.
PAGE = 100
#: Characters that a note may have.
NOTE_LENGTH = 1000
#: How long an API server that restarts may be silent before a waiting client gives up.
SILENCE_SECONDS = 120.0
#: States of a task that failed by itself, as opposed to `upstream_failed`.
_FAILED = "failed"


class NoAnswerError(UnreachableError):
    """Airflow does not answer, or answers that it cannot: it restarts, or its database does."""


@dataclass
class AirflowClient:
    """A connection to the Airflow at `url`, such as `http://127.0.0.1:8080`.

    `auth` logs in where the deployment wants that. Raises NotFoundError for what Airflow does not know,
    RefusedError for what it does not allow, UnreachableError without an answer, and RunError else.
    """

    url: str
    timeout: float = 30.0
    auth: httpx.Auth | None = field(default=None, repr=False)
    _http: httpx.Client = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.url = self.url.rstrip("/")
        # Environment proxies are for the internet; the deployment is on this machine.
        self._http = httpx.Client(base_url=f"{self.url}/api/v2", timeout=self.timeout, auth=self.auth, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # ---------------------------------------------------------------- runs

    def trigger(self, dag_id: str, conf: Mapping[str, Any], run_id: str | None = None) -> str:
        """Start a run and return its id; the same `run_id` twice is the same run."""
        body: dict[str, Any] = {"logical_date": None, "conf": dict(conf)}
        if run_id is not None:
            body["dag_run_id"] = run_id
        response = self.send("POST", f"/dags/{quote(dag_id)}/dagRuns", json=body)
        if response.status_code == 409 and run_id is not None:
            return run_id
        return str(self.checked(response)["dag_run_id"])

    def dag_runs(self, dag_id: str, most: int = 1000, *, active: bool = False) -> list[DagRun]:
        """The newest runs of a DAG, the last one first; `active` leaves out those that have ended."""
        query: dict[str, Any] = {"order_by": "-run_after"}
        if active:
            query["state"] = ["queued", "running"]
        rows = self.pages(f"/dags/{quote(dag_id)}/dagRuns", "dag_runs", query)
        return [dag_run(row) for row in islice(rows, most)]

    def dag_run(self, dag_id: str, run_id: str) -> DagRun:
        """One run."""
        return dag_run(self._get(_run_path(dag_id, run_id)))

    def write_note(self, dag_id: str, run_id: str, note: str) -> None:
        """Put a note at a run, in place of the one that it has; what is over 1000 characters is cut off."""
        body = {"note": note[:NOTE_LENGTH]}
        self.checked(self.send("PATCH", _run_path(dag_id, run_id), json=body))

    def run_state(self, dag_id: str, run_id: str) -> str:
        return str(self._get(_run_path(dag_id, run_id))["state"])

    def active_run(self, dag_id: str, output: str) -> str | None:
        """The id of a run into `output` that has not ended; None when there is none."""
        active = self.dag_runs(dag_id, active=True)
        return next((run.run_id for run in active if run.output == output), None)

    def run_parameters(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """What a run was started with."""
        return dict(self._get(_run_path(dag_id, run_id)).get("conf") or {})

    def is_busy(self) -> bool:
        """Whether any run of any DAG has not ended."""
        page = self._get("/dags/~/dagRuns", {"state": ["queued", "running"], "limit": 1})
        return bool(page["dag_runs"])

    def wait(
        self,
        dag_id: str,
        run_id: str,
        *,
        on_poll: Callable[[str], None] | None = None,
        seconds: float | None = None,
        poll: float = 0.5,
    ) -> str:
        """Follow a run to its end and return its state, `success` or `failed`.

        `on_poll` gets the state at every request. An API server that restarts meanwhile is waited for, and so
        is one whose database does.
        Raises RunError when the run takes over `seconds`, or the server is silent for two minutes.
        """
        began = heard = time.monotonic()
        while True:
            try:
                state = self.run_state(dag_id, run_id)
                heard = time.monotonic()
                if on_poll is not None:
                    on_poll(state)
                if state in FINISHED:
                    return state
            except UnreachableError as error:
                if time.monotonic() - heard > SILENCE_SECONDS:
                    raise UnreachableError(
                        f"{self.url} has not answered for {SILENCE_SECONDS:g} s ({error}); `seuron up` starts it "
                        "again, and the same command then resumes the run"
                    ) from error
            if seconds is not None and time.monotonic() - began > seconds:
                where = self.run_url(dag_id, run_id)
                raise RunError(f"the run {run_id} did not end in {seconds:g} s; it continues: {where}")
            time.sleep(poll)

    def progress(self, dag_id: str, run_id: str) -> GraphProgress:
        """The state of the run and the counts of each node of its graph."""
        state = self.run_state(dag_id, run_id)
        counts: dict[str, dict[str, int]] = {}
        for instance in self.task_instances(dag_id, run_id):
            tier = counts.setdefault(instance.task_id, {})
            tier[instance.state or "none"] = tier.get(instance.state or "none", 0) + 1
        order = self._task_order(dag_id)
        ranked = sorted(counts, key=lambda task_id: order.get(task_id, len(order)))
        return GraphProgress(state, tuple(TierProgress(task_id, counts[task_id]) for task_id in ranked))

    def cancel(self, dag_id: str, run_id: str) -> None:
        """Mark the run failed, which ends its tasks; what they finished stays."""
        self.checked(self.send("PATCH", _run_path(dag_id, run_id), json={"state": "failed"}))

    def delete_old_runs(self, dag_id: str, kept: int) -> list[str]:
        """Delete the ended runs of a DAG but for the newest `kept`; returns their ids."""
        path = f"/dags/{quote(dag_id)}/dagRuns"
        query = {"state": sorted(FINISHED), "order_by": "-run_after"}
        old = [str(row["dag_run_id"]) for row in self.pages(path, "dag_runs", query)][kept:]
        for run_id in old:
            self.checked(self.send("DELETE", _run_path(dag_id, run_id)), allow=(404,))
        return old

    # --------------------------------------------------------------- tasks

    def task_instances(self, dag_id: str, run_id: str, *, states: Sequence[str] = ()) -> list[TaskInstance]:
        """Every task instance of the run, those of mapped tasks one by one."""
        query = {"state": list(states)} if states else {}
        rows = self.pages(f"{_run_path(dag_id, run_id)}/taskInstances", "task_instances", query)
        return [task_instance(row) for row in rows]

    def count_tasks(self, dag_id: str, run_id: str, state: str) -> int:
        """How many task instances of the run are in a state; costs the same for ten and for 20,000."""
        page = self._get(f"{_run_path(dag_id, run_id)}/taskInstances", {"state": [state], "limit": 1})
        return int(page["total_entries"])

    def waits_for_person(self, dag_id: str, run_id: str) -> bool:
        """Whether a task of the run asks a person, who has not answered."""
        page = self._get(f"{_run_path(dag_id, run_id)}/hitlDetails", {"response_received": False, "limit": 1})
        return bool(page["total_entries"])

    def task_errors(self, dag_id: str, run_id: str, *, limit: int = 10) -> list[TaskError]:
        """Why the run's failed tasks failed, the first `limit` of them."""
        failed = self.task_instances(dag_id, run_id, states=[_FAILED])[:limit]
        return [
            TaskError(task.label, self._reason(dag_id, run_id, task), self.task_url(dag_id, run_id, task))
            for task in failed
        ]

    def log_events(self, dag_id: str, run_id: str, task: TaskInstance) -> list[dict[str, Any]]:
        """The structured lines of the log of the task's last try."""
        path = f"{_run_path(dag_id, run_id)}/taskInstances/{quote(task.task_id)}/logs/{max(1, task.try_number)}"
        query = {"map_index": task.map_index, "full_content": True}
        response = self.send("GET", path, params=query, headers={"Accept": "application/json"})
        content = self.checked(response)["content"] if response.status_code != 404 else []
        return [line for line in content if isinstance(line, dict)]

    def overhead(self, dag_id: str, run_id: str, work_seconds: Mapping[str, float]) -> Overhead:
        """Airflow's own share of a finished run.

        `work_seconds` has the seconds of work of each plan task by its label (the TaskRecord's).
        """
        run = self._get(_run_path(dag_id, run_id))
        start, end = parse_time(run["start_date"]), parse_time(run["end_date"])
        if start is None or end is None:
            raise RunError(f"the run {run_id} is {run['state']}; its overhead is known once it has ended")
        ran = [task for task in self.task_instances(dag_id, run_id) if task.state == "success" and task.start]
        longest: dict[str, float] = {}
        for task in ran:
            work = work_seconds.get(task.label, 0.0)
            longest[task.task_id] = max(longest.get(task.task_id, 0.0), work)
        mapped = [task for task in ran if task.map_index >= 0]
        return Overhead(
            wall_seconds=(end - start).total_seconds(),
            busy_seconds=sum(task.seconds for task in mapped),
            work_seconds=sum(work_seconds.get(task.label, 0.0) for task in mapped),
            critical_seconds=sum(longest.values()),
            tasks=len(mapped),
        )

    # -------------------------------------------------------- the deployment

    def unhealthy(self) -> dict[str, str]:
        """Airflow's parts that are not healthy, with what they are instead."""
        health = self._get("/monitor/health")
        parts = ("metadatabase", "scheduler", "dag_processor")
        return {part: str(health[part]["status"]) for part in parts if health[part]["status"] != "healthy"}

    def parsed_dags(self) -> dict[str, datetime]:
        """The DAGs Airflow knows, and when it last parsed each."""
        rows = self.pages("/dags", "dags", {})
        return {str(row["dag_id"]): time for row in rows if (time := parse_time(row["last_parsed_time"]))}

    def import_errors(self) -> list[str]:
        """What Airflow could not import, with the reason."""
        return [f"{row['filename']}: {row['stack_trace']}" for row in self.pages("/importErrors", "import_errors", {})]

    def dag_times(self, dag_id: str) -> DagTimes:
        """Whether a DAG is paused, and when it runs next."""
        row = self._get(f"/dags/{quote(dag_id)}")
        return DagTimes(bool(row["is_paused"]), parse_time(row.get("next_dagrun_run_after")))

    def pause_dag(self, dag_id: str, *, paused: bool) -> None:
        """Pause or resume the schedule of a DAG; runs that have begun continue."""
        self.checked(self.send("PATCH", f"/dags/{quote(dag_id)}", json={"is_paused": paused}))

    def parse_again(self, dag_id: str) -> None:
        """Have the file of a DAG parsed soon, which otherwise happens once a minute."""
        token = self._get(f"/dags/{quote(dag_id)}")["file_token"]
        # Asked for twice at once, Airflow notes it once.
        self.checked(self.send("PUT", f"/parseDagFile/{quote(token, safe='')}"), allow=(409,))

    def size_pools(self, slots: Mapping[str, int]) -> None:
        """Create the pools or change their sizes, whichever is needed."""
        have = {str(row["name"]): int(row["slots"]) for row in self.pages("/pools", "pools", {})}
        for name, count in slots.items():
            body = {"name": name, "slots": count, "include_deferred": False}
            if name not in have:
                self.checked(self.send("POST", "/pools", json=body), allow=(409,))
            elif have[name] != count:
                self.checked(self.send("PATCH", f"/pools/{quote(name)}", json=body))

    # -------------------------------------------------------------- addresses

    def run_url(self, dag_id: str, run_id: str) -> str:
        """The page of a run."""
        return f"{self.url}/dags/{quote(dag_id)}/runs/{quote(run_id, safe='')}"

    def task_url(self, dag_id: str, run_id: str, task: TaskInstance) -> str:
        """The page of a task, which shows its log."""
        mapped = f"/mapped/{task.map_index}" if task.map_index >= 0 else ""
        return f"{self.run_url(dag_id, run_id)}/tasks/{quote(task.task_id)}{mapped}"

    # ---------------------------------------------------------------- plumbing

    def _task_order(self, dag_id: str) -> dict[str, int]:
        rows = self._get(f"/dags/{quote(dag_id)}/tasks")["tasks"]
        downstream = {str(row["task_id"]): [str(name) for name in row["downstream_task_ids"]] for row in rows}
        return {task_id: rank for rank, task_id in enumerate(topological(downstream))}

    def _reason(self, dag_id: str, run_id: str, task: TaskInstance) -> str:
        return first_reason(self.log_events(dag_id, run_id, task)) or "it left no message; see its log"

    def pages(self, path: str, key: str, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """All rows under `key` of a list that Airflow gives a page at a time."""
        offset = 0
        while True:
            page = self._get(path, {**query, "limit": PAGE, "offset": offset})
            yield from page[key]
            offset += len(page[key])
            if not page[key] or offset >= page["total_entries"]:
                return

    def _get(self, path: str, query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self.checked(self.send("GET", path, params=dict(query or {})))

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Airflow's answer, whatever it is; raises NoAnswerError where there is none."""
        try:
            return self._http.request(method, path, **options)
        except (httpx.TransportError, httpx.HTTPStatusError) as error:  # the latter while logging in
            why = str(error) or type(error).__name__
            raise NoAnswerError(
                f"Airflow at {self.url} does not answer ({why}); `seuron up` starts the one of this machine"
            ) from error

    def checked(self, response: httpx.Response, *, allow: Sequence[int] = ()) -> dict[str, Any]:
        """An answer's content; raises the error that a refusal is, unless its status is in `allow`."""
        if response.is_success or response.status_code in allow:
            content: dict[str, Any] = response.json() if response.content else {}
            return content
        try:
            detail = response.json().get("detail", response.text)
        except ValueError:
            detail = response.text
        request = response.request
        what = f"{request.method} {request.url.path} with {response.status_code}: {detail}"
        if response.is_server_error:
            raise NoAnswerError(f"Airflow could not answer {what}")
        if response.status_code == 404:
            raise NotFoundError(f"Airflow refused {what}")
        if response.status_code in (401, 403):
            raise RefusedError(f"Airflow refused {what}; give a token or a user that may do this")
        raise RunError(f"Airflow refused {what}")


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id, safe='')}"
