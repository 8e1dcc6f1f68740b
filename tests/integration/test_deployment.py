"""The embedded deployment's own life. Kills of it: test_airflow_run.py; a start over stale traces: test_celery.py."""

from __future__ import annotations

import time
from contextlib import suppress

import httpx
import psutil
import pytest

from seuron.client import AirflowClient, connect
from seuron.cluster.local_machine import LocalMachine
from seuron.deployment import Deployment
from seuron.deployment.environment import ADDRESS
from seuron.deployment.processes import marked_processes
from seuron.errors import RefusedError


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


def test_it_asks_for_its_token(deployment: Deployment) -> None:
    """Another user or a program of this machine, without the token, starts runs as an administrator."""
    with AirflowClient(deployment.url) as stranger, pytest.raises(RefusedError, match="401"):
        stranger.trigger("segmentation", {})
    assert httpx.get(f"{deployment.url}/auth/token", trust_env=False).status_code == 403
    answer = httpx.get(deployment.login_url, trust_env=False)
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (303, True)
    with connect(deployment.url).client as client:
        assert "segmentation" in client.parsed_dags()


def test_its_files_are_closed(deployment: Deployment) -> None:
    """Logs and keys of the running services are open to other users of the machine."""
    folder = deployment.home.folder
    assert folder.stat().st_mode & 0o067 == 0
    own = [path for path in folder.rglob("*") if path.is_file() and "postgres" not in path.parts]
    made = [path for path in own if path.suffix in (".log", ".json") or path.name == "login"]
    made = [path for path in made if path != deployment.home.settings]  # which the test has written
    assert len(made) > 8
    assert [path for path in made if path.stat().st_mode & 0o077] == []


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
