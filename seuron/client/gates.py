"""Answering inspection gates through Airflow's REST API, for the command line, the bot and scripts.

A gate is a person's turn: the run waits, without a process, until somebody approves, asks for a redo with other
parameters, or ends it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from seuron.airflow_rest.client import AirflowClient
from seuron.airflow_rest.entities import TaskInstance, first_reason
from seuron.engine.gates import CHOICES, Answerer, Choice, parse_changes, successor
from seuron.errors import NotFoundError, RunError

#: The node that asks, behind each stage's tiers.
NODE = "inspect"
CHANGES = "changes"


@dataclass(frozen=True)
class WaitingGate:
    """A run that waits for an answer: the stage that was done last, what is asked, and how often."""

    dag_id: str
    run_id: str
    stage: str
    subject: str
    body: str
    map_index: int
    page: str
    tries: int = 1


def waiting_gates(client: AirflowClient, dag_id: str = "~", run_id: str = "~") -> list[WaitingGate]:
    """The gates that wait now, of one run or of all that may be seen."""
    path = f"/dags/{quote(dag_id, safe='~')}/dagRuns/{quote(run_id, safe='~')}/hitlDetails"
    rows = client.pages(path, "hitl_details", {"response_received": False, "state": "awaiting_input"})
    return [_gate(row, client.url) for row in rows if str(row["task_instance"]["task_id"]).endswith(f".{NODE}")]


def answer_gate(
    client: AirflowClient,
    gate: WaitingGate,
    choice: Choice,
    changes: Mapping[str, Any] | str | None = None,
    answerer: Answerer | None = None,
) -> None:
    """Answer a gate; `changes` are the parameters of a redo, as a mapping, JSON or `key=value` words.

    Of an approval or an end it says by whom and why, where that is not the user whom Airflow knows.

    Raises RunError when the gate has been answered already, or the person may not answer, and ParameterErrors when
    changes cannot be read. Whether they fit together is checked by the run itself: where they do not, the gate asks
    again, and `refusal_of` says why.
    """
    if choice not in CHOICES:
        raise RunError(f"{choice!r} is no answer to an inspection; choose one of {', '.join(CHOICES)}")
    if (choice == "redo") != bool(changes):
        raise RunError(
            f"got {choice} {'with' if changes else 'without'} changed parameters; a redo needs some, such as "
            "agglomeration_threshold=0.3, and the other answers take none"
        )
    values = parse_changes(changes) if isinstance(changes, str) else dict(changes or {})
    path = (
        f"/dags/{quote(gate.dag_id)}/dagRuns/{quote(gate.run_id, safe='')}"
        f"/taskInstances/{quote(gate.stage)}.{NODE}/{gate.map_index}/hitlDetails"
    )
    text = json.dumps(values) if values else answerer.text if answerer is not None else ""
    body = {"chosen_options": [choice], "params_input": {CHANGES: text}}
    client.checked(client.send("PATCH", path, json=body))


def refusal_of(client: AirflowClient, gate: WaitingGate) -> str:
    """What was wrong with the last answer where a gate asks again; empty where it asks for the first time."""
    if gate.tries < 2:
        return ""
    before = TaskInstance(f"{gate.stage}.{NODE}", gate.map_index, gate.stage, None, gate.tries - 1, None, None)
    return first_reason(client.log_events(gate.dag_id, gate.run_id, before)) or ""


def successor_of(client: AirflowClient, dag_id: str, run_id: str, *, seconds: float = 60.0) -> str:
    """The run that continues after a redo, once Airflow has it; raises RunError when it does not come in time."""
    found, deadline = successor(run_id), time.monotonic() + seconds
    while True:
        try:
            return client.dag_run(dag_id, found).run_id
        except NotFoundError as error:
            if time.monotonic() > deadline:
                raise RunError(
                    f"no run continued {run_id} within {seconds:g} s; its gate may have refused the changes"
                ) from error
        time.sleep(0.5)


def _gate(row: Mapping[str, Any], url: str) -> WaitingGate:
    task = row["task_instance"]
    dag_id, run_id, task_id = (str(task[name]) for name in ("dag_id", "dag_run_id", "task_id"))
    page = f"{url.rstrip('/')}/dags/{quote(dag_id)}/runs/{quote(run_id, safe='')}/tasks/{quote(task_id)}"
    return WaitingGate(
        dag_id,
        run_id,
        task_id.partition(".")[0],
        str(row["subject"]),
        str(row["body"] or ""),
        int(task["map_index"]),
        f"{page}/mapped/{task['map_index']}/required_actions",
        int(task["try_number"]),
    )
