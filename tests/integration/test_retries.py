"""A run whose disk is full for a while: it ends well by itself, and its report says what happened."""

from __future__ import annotations

import html
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from seuron.client import AirflowClient
from seuron.engine.retries import read_retries
from seuron.engine.run import Run

Conf = Callable[..., dict[str, Any]]

DAG = "toy"
#: Room for the run's files with some to spare, MiB.
DISK = 64


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "seuron-test", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a file system: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(ballast: Path) -> None:
    """Take all that is left."""
    for size in (2**16, 1):
        with suppress(OSError), ballast.open("ab", buffering=0) as file:
            while True:
                file.write(os.urandom(size))


def _waits_for_another_try(client: AirflowClient, run_id: str) -> bool:
    return bool(client.task_instances(DAG, run_id, states=["up_for_retry"]))


def test_the_report_says_that_the_disk_was_full(client: AirflowClient, toy_conf: Conf, disk: Path) -> None:
    """Tasks that found no room are tried again once there is some; the report has their tries and the error."""
    output, ballast = disk / "run", disk / "ballast"
    run_id = client.trigger(DAG, toy_conf(output))
    deadline = time.monotonic() + 400
    while not (output / "run.json").exists():
        assert time.monotonic() < deadline, "the run is not prepared"
        time.sleep(0.05)
    while not _waits_for_another_try(client, run_id):
        _fill(ballast)  # also what a task that failed gave back
        assert client.run_state(DAG, run_id) == "running"
        assert time.monotonic() < deadline, "no task has failed"
        time.sleep(0.2)
    ballast.unlink()
    state = client.wait(DAG, run_id, seconds=400)
    assert state == "success", client.task_errors(DAG, run_id)
    run = Run.open(str(output))
    tried = {retried.task_id: retried.tries for retried in read_retries(run.storage)}
    assert tried == {record.task_id: record.tries for record in run.records() if record.tries > 1}
    assert tried
    _, heading, happened = html.unescape((output / "report.html").read_text()).partition("<h2>What happened</h2>")
    assert heading
    assert f"{len(tried)} {'task was' if len(tried) == 1 else 'tasks were'} tried again" in happened
    assert "No space left on device" in happened
