"""A run that has used up its own budget: what Airflow does with its tasks, and what people see."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import toy_pipeline

import seuron
from seuron.client import AirflowClient
from seuron.cluster.costs.run_costs import COSTS, RunCosts, Span
from seuron.commands import OK, Session, execute
from seuron.engine.setup import parse_run, prepare_run
from seuron.engine.states import RunState
from seuron.storage import Storage

DAG = "toy"
FIRST = "threshold.tier_0"


def test_tasks_of_a_run_that_has_spent_its_budget_give_their_slots_back(
    client: AirflowClient,
    toy_conf: Callable[..., dict[str, Any]],
    toy_run: Callable[..., Path],
    results: Callable[[Path], dict[str, bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No task begins, none loses a try, and `status` says what holds the run and what to do.

    Cancelled and started again with a larger budget it ends with the bytes of a run that nothing held. Who pauses
    and continues a run is told of.
    """
    output = tmp_path / "thrifty"
    settings = toy_conf(output, cell="64,64,32")
    prepare_run(parse_run(toy_pipeline.PIPELINE, {**settings, "budget_dollars": 1.0}))
    spent = RunCosts({"earlier": Span(0.0, 60.0, 1.5, {}, {})}, run_budget=1.0)
    Storage(output).put(COSTS, json.dumps(asdict(spent)).encode())
    run_id = client.trigger(DAG, {**settings, "budget_dollars": 1.0})
    deadline = time.monotonic() + 480
    while not client.count_tasks(DAG, run_id, "up_for_reschedule"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    (first,) = [task for task in client.task_instances(DAG, run_id) if task.task_id == FIRST]
    assert (first.state, first.try_number) == ("up_for_reschedule", 1)
    assert not list((output / "tasks").glob("*.json"))

    session = Session(seuron.connect(), "ada")
    (handle,) = [run for run in session.deployment.runs() if run.id == run_id]
    status = handle.status()
    assert (status.state, status.dollars, status.budget) == (RunState.HELD, 1.5, 1.0)
    for words in (["status", "thrifty"], ["runs", "active"], ["status"]):
        text = execute(session, words).text
        assert "1.50 of 1.00" in text
        assert "the run has cost $1.50 of its budget of $1.00" in text

    file = tmp_path / "notifications.toml"
    file.write_text('[[notify]]\nhow = "log"\n')
    monkeypatch.setenv("SEURON_NOTIFICATIONS", str(file))
    with caplog.at_level("INFO", "seuron.notifications"):
        assert execute(session, ["pause", "thrifty", "why=too dear"]).code == OK
        assert execute(session, ["continue", "thrifty", "wait=no"]).code == OK
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("thrifty: ")]
    assert ["paused by ada" in told[0], "too dear" in told[0], told[1].startswith("thrifty: continues")] == [True] * 3
    assert execute(session, ["cancel", "thrifty"]).code == OK

    handle = session.deployment.run(toy_pipeline.ToyParams(**settings, budget_dollars=9))
    assert handle.wait().state is RunState.SUCCEEDED
    assert results(output) == results(toy_run(cell="64,64,32"))
    session.deployment.close()
