"""The embedded deployment's own life: starts again over anything, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from seuron.client import AirflowClient
from seuron.compute.machine import Machine
from seuron.deployment import Deployment, Home
from seuron.deployment.environment import ADDRESS
from seuron.deployment.processes import marked_processes


def test_a_second_start_reuses_what_runs(deployment: Deployment) -> None:
    """`seuron up` twice is as good as once, and quick."""
    before = deployment.status()
    began = time.monotonic()
    after = deployment.start()
    assert time.monotonic() - began < 5
    assert (after.supervisor, after.url) == (before.supervisor, before.url)
    assert after.healthy


def test_pools_have_the_machines_size(deployment: Deployment) -> None:
    """The pools that tasks name exist once the start returns."""
    with AirflowClient(deployment.url) as client:
        pools = {row["name"]: row["slots"] for row in client.pages("/pools", "pools", {})}
    assert Machine.this().pools.items() <= pools.items()


def test_it_listens_on_this_machine_only(deployment: Deployment) -> None:
    """Everybody is an administrator, so nobody from outside may connect."""
    open_to = set()
    for process in marked_processes(deployment.home.folder):
        with suppress(psutil.NoSuchProcess):  # the parses of DAG files come and go
            open_to |= {it.laddr.ip for it in process.net_connections("inet") if it.status == psutil.CONN_LISTEN}
    assert open_to == {ADDRESS}


def test_a_dead_service_is_started_again(deployment: Deployment) -> None:
    """The DAG processor dies, and another takes its place without anybody's help."""
    # The oldest is the service; the others are parses that come and go.
    before = min(marked_processes(deployment.home.folder, "dag-processor"), key=psutil.Process.create_time)
    before.kill()
    deadline = time.monotonic() + 60
    while not any(process.pid != before.pid for process in marked_processes(deployment.home.folder, "dag-processor")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    deployment.start()
    assert deployment.status().healthy


@pytest.fixture
def bare() -> Iterator[Home]:
    """A state folder with the traces of a deployment that was killed long ago."""
    folder = Path(tempfile.mkdtemp(prefix="seuron-bare-"))
    yield Home(folder)
    Deployment(Home(folder)).stop()
    shutil.rmtree(folder, ignore_errors=True)


def test_start_over_stale_traces_and_a_taken_port_then_stop(deployment: Deployment, bare: Home) -> None:
    """A stale state file, and a port that another program holds, do not stop a start; a stop leaves nothing.

    The session's own deployment holds its port, and runs on undisturbed beside the new one.
    """
    taken = int(deployment.url.rpartition(":")[2])
    bare.create()
    bare.supervisor_state.write_text(f'{{"pid": {os.getpid()}, "port": {taken}, "started": 0}}')
    bare.supervisor_lock.touch()
    other = Deployment(bare)
    assert not other.status().running
    status = other.start()
    assert status.url != deployment.url
    assert deployment.status().healthy
    assert status.supervisor is not None
    tree = [psutil.Process(status.supervisor), *psutil.Process(status.supervisor).children(recursive=True)]
    assert len(tree) > 4
    assert other.stop()
    assert not psutil.wait_procs(tree, timeout=5)[1]
    assert marked_processes(bare.folder) == []
    assert not other.stop()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((ADDRESS, int(status.url.rpartition(":")[2])) if status.url else (ADDRESS, 0))


def test_a_killed_supervisor_is_replaced(deployment: Deployment) -> None:
    """The supervisor alone is killed: the next start clears its orphans away and is healthy again."""
    supervisor = deployment.status().supervisor
    assert supervisor is not None
    orphans = [process.pid for process in marked_processes(deployment.home.folder)]
    os.kill(supervisor, signal.SIGKILL)
    deployment.start()
    assert deployment.status().healthy
    assert not {process.pid for process in marked_processes(deployment.home.folder)} & set(orphans)
