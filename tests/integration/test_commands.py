"""The registry's commands on a real deployment: what one front end does, every other one sees."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import toy_pipeline
from airflow_runs import Ended

import seuron
from seuron.client import AirflowClient, RunHandle, RunStatus
from seuron.commands import CANCELLED, FAILED, NOT_FOUND, OK, Answer, Session, execute
from seuron.deployment import Deployment
from seuron.deployment.home import OWNER
from seuron.engine.states import RunState, Stop, read_stop
from seuron.storage import Storage

Conf = Callable[..., dict[str, Any]]
Command = Callable[..., subprocess.CompletedProcess[str]]
Results = Callable[[Path], dict[str, bytes]]
LocalRun = Callable[..., Path]

DAG = "toy"


@pytest.fixture
def session(deployment: Deployment) -> Iterator[Session]:
    """A chat's session: it talks to the deployment, and remembers what it was told meanwhile."""
    made = Session(seuron.connect(), "ada")
    yield made
    made.deployment.close()


def started(session: Session, values: dict[str, Any]) -> RunHandle:
    return session.deployment.run(toy_pipeline.ToyParams(**values))


def records(output: Path) -> dict[str, bytes]:
    """What the finished tasks have written, by name."""
    return {path.name: path.read_bytes() for path in (output / "tasks").glob("*.json")}


def wait_for_records(output: Path, number: int, seconds: float = 480) -> None:
    deadline = time.monotonic() + seconds
    while len(records(output)) < number:
        assert time.monotonic() < deadline, f"not {number} tasks after {seconds} s"
        time.sleep(0.05)


def test_a_cancelled_run_is_cancelled_everywhere_and_goes_on(
    session: Session,
    client: AirflowClient,
    command: Command,
    toy_conf: Conf,
    toy_run: LocalRun,
    results: Results,
    tmp_path: Path,
) -> None:
    """Status, list, shell, the note in Airflow and the run's folder say who cancelled it and why, none says failed.

    Continued, it goes on from what was finished, and ends with the local runner's bytes; the start that was cancelled
    stays so in the list.
    """
    output = tmp_path / "tissue"
    handle = started(session, toy_conf(output))
    wait_for_records(output, 2)
    assert client.active_run(DAG, str(output)) == handle.id
    cancelled = execute(session, ["cancel", "run", "tissue", "why=wrong threshold"])
    assert cancelled.code == OK, cancelled.text
    assert cancelled.data["state"] == "cancelled"
    assert cancelled.text.startswith("tissue is cancelled by ada on ")

    stop = Stop.of_note(handle.id, client.dag_run(DAG, handle.id).note)
    assert stop is not None
    assert (stop.kind, stop.who, stop.why) == ("cancelled", "ada", "wrong threshold")
    assert client.run_state(DAG, handle.id) == "failed", "Airflow knows no other word"
    assert client.active_run(DAG, str(output)) is None
    finished = records(output)
    assert read_stop(Storage(output), handle.id) is not None
    assert "cancelled by ada" in execute(session, ["runs"]).text
    shown = command("status", "tissue", "--json")
    assert json.loads(shown.stdout)["state"] == "cancelled"
    assert "wrong threshold" in json.loads(shown.stdout)["stop"]
    watched = command("status", str(output), "--watch")
    assert watched.returncode == CANCELLED
    assert execute(session, ["cancel", "tissue"]).code == FAILED, "it has ended already"

    client.write_note(DAG, handle.id, "somebody wrote over the note")
    assert handle.status().state is RunState.CANCELLED, "the folder knows it still"

    again = execute(session, ["continue", "tissue"])
    assert again.code == OK, again.text
    assert "tasks with" in again.text
    assert finished.items() <= records(output).items()
    assert results(output) == results(toy_run())
    states = {row["id"]: row["state"] for row in execute(session, ["runs", "starts"]).data}
    assert states[handle.id] == "cancelled"
    assert session.deployment.find("tissue").status().state is RunState.SUCCEEDED


def test_a_paused_run_is_held_and_a_stage_is_done_again(
    session: Session, command: Command, toy_conf: Conf, toy_run: LocalRun, results: Results, tmp_path: Path
) -> None:
    """Pausing ends what is at work and keeps the rest; continuing and doing a stage again change no byte."""
    output = tmp_path / "slab"
    started(session, toy_conf(output))
    wait_for_records(output, 1)
    paused = execute(session, ["pause", "slab", "why=others first"])
    assert paused.data["state"] == "held"
    assert "paused by ada" in execute(session, ["status", "slab"]).text
    done = command("continue", "slab")
    assert done.returncode == OK, done.stderr
    assert "report.html" in done.stdout
    assert results(output) == results(toy_run())

    seen: list[Answer] = []
    session.on_progress = seen.append
    redone = execute(session, ["redo", "slab", "total"])
    assert redone.code == OK, redone.text
    assert "slab does again: 1 total, 1 report" in [answer.text for answer in seen]
    assert "2 tasks" in redone.text
    assert results(output) == results(toy_run())
    assert "did you mean 'total'" in execute(session, ["redo", "slab", "totla"]).text


def test_progress_only_goes_forward(session: Session, toy_conf: Conf, tmp_path: Path) -> None:
    """`wait` gives statuses whose counts grow, and ends with one that is complete; a name is enough to follow."""
    params = toy_pipeline.ToyParams(**toy_conf(tmp_path / "watched"))
    handle = session.deployment.run(params)
    assert session.deployment.run(params) == handle, "the same run is followed, not started twice"
    seen: list[RunStatus] = []
    last = handle.wait(seen.append)
    counts = [status.done for status in seen]
    assert counts == sorted(counts)
    assert last.state is RunState.SUCCEEDED
    assert last.done == last.total > 0
    assert last.seconds_left is None
    assert last.sentence.startswith("watched: succeeded, after ")


def test_a_failed_run_says_why(session: Session, command: Command, refused: Ended) -> None:
    """Failed is failed: exit code 1, the cause and the log's place, in every way of asking."""
    handle = session.deployment.find(refused.run_id)
    status = handle.wait(seconds=120)
    assert status.state is RunState.FAILED
    (error,) = handle.errors()
    assert "`affinities`" in error.message
    assert error.message in execute(session, ["status", handle.id]).text
    followed = command("status", handle.id, "--watch")
    assert followed.returncode == FAILED
    assert "`affinities`" in followed.stderr
    (log,) = execute(session, ["logs", handle.id]).data
    assert log["label"] == "prepare"
    assert any("`affinities`" in line for line in log["lines"])
    assert "did you mean prepare" in execute(session, ["logs", handle.id, "preprae"]).text


def test_another_machine_sees_the_same(
    deployment: Deployment, session: Session, command: Command, finished: Ended
) -> None:
    """Through its address alone a deployment answers as from its own machine, but for folders that are not here."""
    wrong = Session(seuron.connect(deployment.url, token="wrong"), "eve")
    refused = execute(wrong, ["runs"])
    assert (refused.code, refused.data["kind"]) == (NOT_FOUND, "RefusedError")
    wrong.deployment.close()
    body = {"username": OWNER, "password": deployment.home.login_token()}
    token = httpx.post(f"{deployment.url}/auth/token", json=body, trust_env=False).json()["access_token"]
    far = Session(seuron.connect(deployment.url, token), "bob")
    assert not far.deployment.is_local
    mine, theirs = (execute(asking, ["status", "cortex"]).data for asking in (session, far))
    assert {**mine, "stages": []} == {**theirs, "stages": []}
    assert "cortex: succeeded" in execute(far, ["report", "cortex"]).text, "the folder is shared with this machine"
    gone = finished.output.rename(finished.output.with_name("gone"))
    try:
        missing = execute(far, ["report", "cortex"])
        assert missing.code == FAILED
        assert "not on this one" in missing.text
        counted = execute(far, ["status", "cortex"]).data
    finally:
        gone.rename(finished.output)
    assert counted["state"] == "succeeded"
    assert counted["done"] == counted["total"] == mine["total"], "Airflow counts what the folder cannot"
    listed = command("--url", str(deployment.url), "runs", "--json")
    assert mine["id"] in {row["id"] for row in json.loads(listed.stdout)}
    assert command("--url", str(deployment.url), "cancel", "crotex").returncode == NOT_FOUND
    far.deployment.close()
