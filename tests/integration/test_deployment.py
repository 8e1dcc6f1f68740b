"""The embedded deployment's own life. Kills of it: test_airflow_run.py; a start over stale traces: test_celery.py."""

from __future__ import annotations

import time
from contextlib import suppress

import psutil

from seuron.cluster.local_machine import LocalMachine
from seuron.deployment import Deployment
from seuron.deployment.environment import ADDRESS
from seuron.deployment.processes import marked_processes


def test_a_second_start_reuses_what_runs(deployment: Deployment) -> None:
    """`seuron up` twice is as good as once: no service is started again."""
    before, services = deployment.status(), _services(deployment)
    after = deployment.start()
    assert (after.supervisor, after.url) == (before.supervisor, before.url)
    assert after.healthy
    assert _services(deployment) == services


def _services(deployment: Deployment) -> set[int]:
    """The processes that the supervisor has started, without what these have started."""
    supervisor = deployment.status().supervisor
    assert supervisor is not None
    return {process.pid for process in psutil.Process(supervisor).children()}


def test_pools_have_the_machines_size(deployment: Deployment) -> None:
    """The pools that tasks name exist once the start returns."""
    with deployment.client() as client:
        pools = {row["name"]: row["slots"] for row in client.pages("/pools", "pools", {})}
    assert LocalMachine.this().pools.items() <= pools.items()


def test_it_listens_on_this_machine_only(deployment: Deployment) -> None:
    """It has one user and no encryption, so nobody from outside may connect."""
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
    deadline = time.monotonic() + 240
    while not any(process.pid != before.pid for process in marked_processes(deployment.home.folder, "dag-processor")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    deployment.start(seconds=600)
    assert deployment.status().healthy
