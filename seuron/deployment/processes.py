"""Finding and ending the processes of a deployment, by the mark in their environment."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil

from seuron.deployment.environment import HOME_MARK, SERVICE_MARK

_GONE = (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess)


def marked_processes(folder: Path, service: str | None = None) -> list[psutil.Process]:
    """The living processes of the deployment in `folder`, of one service or of all."""
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with suppress(*_GONE, OSError):
            environment = process.environ()
            if environment.get(HOME_MARK) == str(folder) and service in (None, environment.get(SERVICE_MARK)):
                found.append(process)
    return found


def end_processes(folder: Path, service: str | None = None) -> None:
    """Kill the marked processes and wait until they are gone."""
    # A process may fork between the look and the kill, so look again until none is left.
    while remaining := marked_processes(folder, service):
        for process in remaining:
            with suppress(*_GONE):
                process.kill()
        psutil.wait_procs(remaining, timeout=5.0)


def resident_bytes(processes: list[psutil.Process]) -> int:
    """Proportional memory (PSS): pages that several processes share are counted once."""
    total = 0
    for process in processes:
        with suppress(*_GONE):
            total += process.memory_full_info().pss
    return total
