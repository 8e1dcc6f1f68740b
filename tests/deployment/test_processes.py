"""Leftovers are found by the mark in their environment, and ended; others are left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from seuron.deployment.environment import HOME_MARK, SERVICE_MARK
from seuron.deployment.processes import end_processes, marked_processes, resident_bytes

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]


def _start(folder: Path, service: str) -> subprocess.Popen[bytes]:
    """A process that bears the marks, once it runs Python: a fork that has not come so far has hardly any memory."""
    environment = {**os.environ, HOME_MARK: str(folder), SERVICE_MARK: service}
    process = subprocess.Popen(SLEEP, env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    return process


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Two services of one deployment, and one of another."""
    started = {
        "scheduler": _start(tmp_path / "one", "scheduler"),
        "api-server": _start(tmp_path / "one", "api-server"),
        "stranger": _start(tmp_path / "two", "scheduler"),
    }
    yield started
    for process in started.values():
        process.kill()
        process.communicate()


def test_only_the_deployments_own_are_found(processes: dict[str, subprocess.Popen[bytes]], tmp_path: Path) -> None:
    """By folder, and by service where one is asked for."""
    mine = {processes["scheduler"].pid, processes["api-server"].pid}
    assert {process.pid for process in marked_processes(tmp_path / "one")} == mine
    (scheduler,) = marked_processes(tmp_path / "one", "scheduler")
    assert scheduler.pid == processes["scheduler"].pid
    assert resident_bytes([scheduler]) > 1_000_000


def test_ending_one_service_leaves_the_others(processes: dict[str, subprocess.Popen[bytes]], tmp_path: Path) -> None:
    """A dead scheduler's workers are ended, but not the API server, nor another deployment's scheduler."""
    end_processes(tmp_path / "one", "scheduler")
    (left,) = marked_processes(tmp_path / "one")
    assert left.pid == processes["api-server"].pid
    end_processes(tmp_path / "one")
    assert marked_processes(tmp_path / "one") == []
    (stranger,) = marked_processes(tmp_path / "two")
    assert stranger.pid == processes["stranger"].pid
