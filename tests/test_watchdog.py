"""A test run that is killed leaves no process and no folder behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from watchdog import marked

PROJECT = Path(__file__).resolve().parents[1]
#: A test that starts a daemon with a child of its own, as deployments do, says so in its folder, and never ends.
BUSY = """
import subprocess, sys, threading
from watchdog import run_folder

DAEMON = "import os, subprocess, sys; os.fork() and os._exit(0); " \\
    "subprocess.run([sys.executable, '-c', 'import time; time.sleep(10**6)'], start_new_session=True)"

def test_that_never_ends():
    subprocess.run([sys.executable, "-c", DAEMON], start_new_session=True, check=True)
    (run_folder() / "begun").touch()
    threading.Event().wait()
"""
OF_THE_RUN = """
import watchdog

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        watchdog.watch_this_run()
"""


def wait_until(condition: Callable[[], object], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def outside() -> dict[str, str]:
    """The environment of a run of its own; it still ends with this one, whose folder is named in it."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "MAKE"))}


def hear_interrupts() -> None:
    """A shell has what it starts in the background ignore them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def busy(tmp_path: Path) -> Path:
    """A folder with a test that never ends, and a Makefile that runs it."""
    (tmp_path / "conftest.py").write_text(OF_THE_RUN)
    (tmp_path / "test_busy.py").write_text(BUSY)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {PROJECT / 'tests'}\n")
    (tmp_path / "Makefile").write_text(f"test:\n\t{sys.executable} -m pytest -q -p no:cacheprovider\n")
    return tmp_path


PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")


@pytest.mark.parametrize(
    ("command", "number"),
    [
        pytest.param(PYTEST, signal.SIGKILL, id="pytest killed", marks=pytest.mark.long),
        pytest.param((*PYTEST, "-n", "1"), signal.SIGKILL, id="pytest with workers killed"),
        pytest.param(PYTEST, signal.SIGINT, id="ctrl-c", marks=pytest.mark.long),
        pytest.param(("make", "test"), signal.SIGKILL, id="make killed"),
    ],
)
def test_nothing_outlives_a_run(busy: Path, command: tuple[str, ...], number: signal.Signals) -> None:
    """Whatever the run had started ends, children of its daemons too, and its folder goes."""
    temporary = busy / "tmp"
    temporary.mkdir()
    environment = {**outside(), "TMPDIR": str(temporary)}
    run = subprocess.Popen(command, cwd=busy, env=environment, stdout=subprocess.DEVNULL, preexec_fn=hear_interrupts)
    try:
        wait_until(lambda: run.poll() is not None or list(temporary.glob("seuron-tests-*/begun")))
        assert run.poll() is None, "the run ended by itself"
        (folder,) = (str(path) for path in temporary.glob("seuron-tests-*"))
        wait_until(lambda: len(marked(folder)) >= 2)
        others = [process for process in psutil.Process(run.pid).children(recursive=True) if process.is_running()]
        run.send_signal(number)
        run.wait(240)
    finally:
        run.kill()
        run.wait()
    wait_until(lambda: not marked(folder))
    wait_until(lambda: not Path(folder).exists())
    assert psutil.wait_procs(others, timeout=60)[1] == []


@pytest.mark.long
def test_no_airflow_outlives_a_run(tmp_path: Path) -> None:
    """A run with two workers and a whole deployment is killed while this starts: nothing of it is left."""
    command = [*PYTEST, "-n", "2", "-k", "test_pools", str(PROJECT / "tests" / "integration" / "test_deployment.py")]
    environment = {**outside(), "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL) as run:
        wait_until(lambda: run.poll() is not None or list(tmp_path.glob("seuron-tests-*/airflow-*/logs/scheduler.log")))
        assert run.poll() is None, "the run ended by itself"
        (folder,) = (str(path) for path in tmp_path.glob("seuron-tests-*"))
        services = {process.environ().get("SEURON_SERVICE") for process in marked(folder)}
        assert services >= {"postgres", "scheduler"}
        run.kill()
    wait_until(lambda: not marked(folder))
    wait_until(lambda: not Path(folder).exists())
