"""How a start waits and fails: a supervisor with small programs in place of PostgreSQL and Airflow."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seuron.deployment import Deployment, Home
from seuron.deployment.control import _Wait
from seuron.deployment.locks import try_lock
from seuron.deployment.processes import marked_processes
from seuron.deployment.steps import StalledError, StepWatch
from seuron.deployment.supervisor import Service, Supervisor
from seuron.errors import RunError

FAILS = "import sys, time; print('reading'); print('cannot read: disk full', flush=True); sys.exit(3)"
KILLED = "import os, signal; print('begun', flush=True); os.kill(os.getpid(), signal.SIGKILL)"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.create()
    return made


@pytest.fixture
def supervisor(home: Home, monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    """One that starts nothing by itself, and says its state to a file, as the real one does."""
    import seuron.deployment.supervisor as module

    postgres = SimpleNamespace(prepare=lambda data: SimpleNamespace(socket_folder=data))
    monkeypatch.setattr(module, "Postgres", postgres)
    state: dict[str, Any] = {"pid": 1, "port": 1}

    def write_state(more: Mapping[str, object]) -> None:
        state.update(more)
        home.supervisor_state.write_text(json.dumps(state))

    return Supervisor(home, 1, write_state)


@pytest.mark.parametrize(("program", "how"), [(FAILS, "with code 3"), (KILLED, "by signal 9")])
def test_a_preparation_that_dies_fails_at_once_with_its_log(supervisor, home, program, how):
    """What the process said last is in the message, and nothing is stamped as done."""
    stamp = home.folder / "stamp"
    begun = supervisor._prepare("tables", "making the tables", [sys.executable, "-c", program], stamp, "3")
    began = time.monotonic()
    with pytest.raises(RunError, match=f"making the tables ended {how}") as failure:
        supervisor._finish(begun)
    assert time.monotonic() - began < 30
    assert ("disk full" in str(failure.value)) == (program is FAILS)
    assert not stamp.exists()
    assert json.loads(home.supervisor_state.read_text())["step"] == {
        "name": "making the tables",
        "services": ["tables"],
    }


def test_a_preparation_is_done_once(supervisor, home):
    """Its stamp says so; another version does it again."""
    stamp = home.folder / "stamp"
    command = [sys.executable, "-c", "print('done')"]
    supervisor._finish(supervisor._prepare("tables", "making the tables", command, stamp, "3"))
    assert stamp.read_text() == "3"
    assert supervisor._prepare("tables", "making the tables", command, stamp, "3") is None
    again = supervisor._prepare("tables", "making the tables", command, stamp, "4")
    supervisor._finish(again)
    assert stamp.read_text() == "4"
    assert marked_processes(home.folder) == []


@pytest.fixture
def alive(home: Home) -> Iterator[None]:
    """Somebody has the supervisor's lock, as it has while it lives."""
    lock = try_lock(home.supervisor_lock)
    assert lock is not None
    yield
    lock.close()


@pytest.fixture
def waiting(home: Home, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """A deployment whose supervisor lives, that is: holds its lock, and that never becomes ready."""
    made = Deployment(home)
    monkeypatch.setattr(made, "_unready", lambda client: {"scheduler": "unhealthy"}, raising=False)
    return made


def test_a_service_that_dies_ends_a_fresh_start(waiting, alive, supervisor, home):
    """Promptly, with what it said; the supervisor goes on and starts it again."""
    supervisor.services.append(Service("scheduler", [sys.executable, "-c", FAILS]))
    stop = threading.Event()

    def supervise() -> None:
        while not stop.is_set():
            supervisor._keep_alive(supervisor.services[0])
            time.sleep(0.05)

    thread = threading.Thread(target=supervise)
    thread.start()
    try:
        with pytest.raises(RunError, match=r"scheduler ended with code 3(?s:.*)disk full") as failure:
            waiting._wait_for(None, _Wait(time.monotonic() + 60, lambda step: None), 0)
        assert "not ready" not in str(failure.value)
    finally:
        stop.set()
        thread.join()


def test_a_supervisor_that_ends_ends_the_wait(waiting, home):
    """With the failure that it has written down, or what its log says."""
    home.supervisor_state.write_text(
        json.dumps({"pid": 1, "port": 1, "failure": "making the tables ended with code 3"})
    )
    with pytest.raises(RunError, match="did not start: making the tables ended with code 3"):
        waiting._wait_for(None, _Wait(None, lambda step: None), 0)
    home.supervisor_state.write_text(json.dumps({"pid": 1, "port": 1}))
    (home.logs / "supervisor.log").write_text("Killed\n")
    with pytest.raises(RunError, match="it ended\nKilled"):
        waiting._wait_for(None, _Wait(None, lambda step: None), 0)


def test_a_wait_ends_when_nothing_moves_and_says_where(waiting, alive, home, monkeypatch):
    """No end by the clock while something moves; one soon after nothing does."""
    import seuron.deployment.control as module

    monkeypatch.setattr(module, "StepWatch", lambda: StepWatch(stalled_seconds=3.0))
    monkeypatch.setattr(module, "_CLOSE_LOOK_SECONDS", 0.2)
    state = {"pid": 1, "port": 1, "step": {"name": "starting Airflow", "services": ["scheduler"]}}
    home.supervisor_state.write_text(json.dumps(state))
    began, said = time.monotonic(), list[str]()

    def write() -> None:
        for number in range(12):
            with (home.logs / "scheduler.log").open("a") as log:
                log.write(f"line {number}\n")
            time.sleep(0.5)

    thread = threading.Thread(target=write)
    thread.start()
    with pytest.raises(StalledError, match=r"starting Airflow: .*\n.*scheduler.log ends:"):
        waiting._wait_for(None, _Wait(None, said.append), 0)
    thread.join()
    assert time.monotonic() - began > 6
    assert said[0] == "starting Airflow: scheduler: unhealthy"


def test_a_time_that_was_asked_for_is_kept(waiting, alive, home):
    """`seconds` is the caller's own limit, and the message says which step it was on."""
    home.supervisor_state.write_text(json.dumps({"pid": 1, "port": 1, "step": {"name": "x", "services": []}}))
    with pytest.raises(RunError, match="not ready: x, scheduler: unhealthy"):
        waiting._wait_for(None, _Wait(time.monotonic() + 0.5, lambda step: None), 0)


def test_steps_are_told_once_and_details_now_and_then(monkeypatch):
    """Two hundred kernels are not two hundred lines."""
    import seuron.deployment.control as module

    told: list[str] = []
    wait = _Wait(None, told.append)
    for number in range(100):
        wait.show("compiling the kernels", f"{number} compiled")
    wait.show("starting Airflow")
    assert told == ["compiling the kernels: 0 compiled", "starting Airflow"]
    monkeypatch.setattr(module, "_TOLD_SECONDS", -1.0)
    wait.show("starting Airflow", "scheduler: unhealthy")
    assert told[-1] == "starting Airflow: scheduler: unhealthy"
