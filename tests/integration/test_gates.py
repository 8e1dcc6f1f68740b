"""Inspection gates through a real scheduler: a run waits for a person, and does what that person answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow_runs import Ended

import seuron
from seuron.client import AirflowClient
from seuron.client.gates import WaitingGate, answer_gate, refusal_of, successor_of, waiting_gates
from seuron.commands import NOT_FOUND, OK, Session, execute
from seuron.deployment import Deployment
from seuron.engine.gates import answers, last_answer
from seuron.engine.states import read_stop
from seuron.errors import RunError
from seuron.storage import Storage

DAG = "toy"
Conf = Callable[..., dict[str, Any]]


def _gate(client: AirflowClient, run_id: str, seconds: float = 400, tries: int = 1) -> WaitingGate:
    """The gate of a run, once it waits, for the how-manieth time."""
    deadline = time.monotonic() + seconds
    while not (found := [gate for gate in waiting_gates(client, DAG, run_id) if gate.tries >= tries]):
        assert client.run_state(DAG, run_id) in ("queued", "running"), client.task_errors(DAG, run_id)
        assert time.monotonic() < deadline, f"no gate waits after {seconds} s"
        time.sleep(0.5)
    return found[0]


def test_a_redo_gives_the_bytes_of_a_fresh_run(
    client: AirflowClient,
    toy_conf: Conf,
    toy_run: Callable[..., Path],
    results: Callable[[Path], dict[str, bytes]],
    tmp_path: Path,
) -> None:
    """Wrong changes are refused and asked for again; right ones end the run and another one goes on in its folder.

    That one waits at the same gate, as what was looked at has changed, and has, once it is approved, the bytes of a
    run that had these parameters from the start.
    """
    output = tmp_path / "run"
    run_id = client.trigger(DAG, toy_conf(output, inspect_after=["threshold"]))
    gate = _gate(client, run_id)
    assert gate.stage == "threshold"
    assert not (output / "report.html").exists()

    answer_gate(client, gate, "redo", "level=700 cel=3")
    again = _gate(client, run_id, tries=2)
    refused = refusal_of(client, again)
    assert "level" in refused
    assert "did you mean `cell`" in refused

    answer_gate(client, again, "redo", {"level": 200})
    assert client.wait(DAG, run_id, seconds=480) == "failed"
    successor = successor_of(client, DAG, run_id)
    ended = last_answer(Storage(output), run_id)
    assert ended is not None
    assert (ended.choice, ended.successor, ended.changes) == ("redo", successor, {"level": 200})
    assert client.run_parameters(DAG, successor)["level"] == 200
    assert "level=200" in client.dag_run(DAG, run_id).note

    answer_gate(client, _gate(client, successor), "approve")
    assert client.wait(DAG, successor, seconds=480) == "success", client.task_errors(DAG, successor)
    made, fresh = results(output), results(toy_run(level=200))
    assert fresh.items() <= made.items()
    left = {name.partition("/")[0] for name in made.keys() - fresh.keys()}
    assert left <= {"objects", "keys", "gates", "stopped"}  # of the first level, and who answered what


@pytest.fixture
def session(deployment: Deployment) -> Iterator[Session]:
    """Somebody who gives commands."""
    made = Session(seuron.connect(), "ada")
    yield made
    made.deployment.close()


def test_an_end_is_a_cancelled_run(client: AirflowClient, session: Session, toy_conf: Conf, tmp_path: Path) -> None:
    """A run that is ended at a gate does nothing more, is not a success, and says who ended it; it can be taken up.

    Two answers to one gate are refused. A gate that was approved is not asked again. The commands of all front ends
    list what waits, and answer it.
    """
    output = tmp_path / "run"
    run_id = client.trigger(DAG, toy_conf(output, inspect_after=["threshold", "total"]))
    first = _gate(client, run_id)
    assert first.stage == "threshold"
    answer_gate(client, first, "approve")
    with pytest.raises(RunError, match="refused"):
        answer_gate(client, first, "end")
    second = _gate(client, run_id)
    assert second.stage == "total"
    waiting = execute(session, ["inspections"])
    assert [(row["run"], row["stage"]) for row in waiting.data] == [(run_id, "total")]
    assert execute(session, ["end", run_id, "why=too dark"]).code == OK
    assert client.wait(DAG, run_id, seconds=480) == "failed"
    assert not (output / "report.html").exists()
    ended = last_answer(Storage(output), run_id)
    assert ended is not None
    assert (ended.choice, ended.by) == ("end", session.who)
    stop = read_stop(Storage(output), run_id)
    assert stop is not None
    assert (stop.kind, stop.who, stop.why) == ("cancelled", session.who, "too dark")
    assert client.dag_run(DAG, run_id).note == stop.note, "nobody has written below it"
    assert f"cancelled by {session.who}" in execute(session, ["status", run_id]).text
    again = client.trigger(DAG, toy_conf(output, inspect_after=["threshold", "total"]))
    gate = _gate(client, again)
    assert gate.stage == "total"  # the first stage was approved, and is the same
    answer_gate(client, gate, "redo", "cel=3")
    _gate(client, again, tries=2)
    assert "did you mean `cell`" in execute(session, ["inspections"]).text
    assert execute(session, ["approve", again]).code == OK
    assert execute(session, ["approve", again]).code == NOT_FOUND
    assert client.wait(DAG, again, seconds=480) == "success", client.task_errors(DAG, again)
    assert [answer.choice for answer in answers(Storage(output), "total")] == ["end", "redo", "approve"]


def test_a_run_without_gates_starts_no_process_for_them(client: AirflowClient, finished: Ended) -> None:
    """Every gate of such a run is skipped by the scheduler, without a try."""
    gates = [
        task for task in client.task_instances("segmentation", finished.run_id) if task.task_id.endswith(".inspect")
    ]
    assert len(gates) == 9
    assert {(task.state, task.try_number, task.map_index) for task in gates} == {("skipped", 0, -1)}
