"""What docker-compose.yml starts, started on this machine: a run goes through, and the dashboard's metrics are sent."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from compose import ROOT, Listener, Native, metrics_of, postgres_programs, read_compose
from watchdog import run_folder

pytestmark = [
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server (Debian's redis-server)"),
    pytest.mark.skipif(postgres_programs() is None, reason="no PostgreSQL (Debian's postgresql)"),
]

Conf = Callable[..., dict[str, Any]]

#: Sent only when something has gone wrong, or while tasks are ready and not sent yet, which is a moment in a
#: small run. Airflow's registry has them.
RARE = {"airflow_task_instances_without_heartbeats_killed", "airflow_ti_scheduled"}


@pytest.fixture(scope="module")
def native(environment: dict[str, str]) -> Iterator[Native]:
    """Every service of the default profile, in the order of the file's dependencies."""
    # Not pytest's own folder, which it locks to one user: as root, the database runs as another.
    folder = Path(tempfile.mkdtemp(prefix="compose-", dir=run_folder()))
    folder.chmod(0o755)
    variables = {"SEURON_METRICS": "True", "SEURON_CPU_SLOTS": "2"}
    made = Native(folder, read_compose(variables))
    try:
        made.bring_up("manager", "cpu")
        yield made
    finally:
        made.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.long
def test_a_run_goes_through_what_compose_starts(native: Native, conf: Conf, tmp_path: Path) -> None:
    """With a password, the file's own commands and secrets, a run triggered by REST ends well on its workers, all
    health checks hold, and everything that the dashboard asks for is sent.
    """
    listener = Listener(native.ports["statsd-exporter"])
    native.wait_until(lambda: native.healthy("manager") and native.healthy("cpu"), 480)
    user, password = "admin", native.passwords()["admin"]
    with httpx.Client(base_url=native.url, timeout=30) as client:
        assert client.get("/api/v2/dags").status_code == 401
        token = client.post("/auth/token", json={"username": user, "password": password}).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        native.wait_until(lambda: client.get("/api/v2/dags/segmentation").status_code == 200, 480)
        body = {"logical_date": None, "conf": conf(tmp_path / "run", chunk_size="80,64,64")}
        run = client.post("/api/v2/dags/segmentation/dagRuns", json=body).json()["dag_run_id"]

        def ended() -> bool:
            state = client.get(f"/api/v2/dags/segmentation/dagRuns/{run}").json()["state"]
            return state in ("success", "failed")

        native.wait_until(ended, 600)
        tasks = client.get(f"/api/v2/dags/segmentation/dagRuns/{run}/taskInstances?limit=100").json()["task_instances"]
        failed = [
            (task["task_id"], task["state"]) for task in tasks if task["state"] not in ("success", "skipped", "removed")
        ]
        assert failed == []
        assert {task["queue"] for task in tasks if task["map_index"] >= 0} == {"cpu", "manager"}
    assert (tmp_path / "run" / "report.html").exists()
    for name in ("scheduler", "dag-processor", "triggerer"):
        assert native.healthy(name), name
    assert native.shown() == []
    _expect_metrics(listener, native)


def _expect_metrics(listener: Listener, native: Native) -> None:
    """Each metric and label of the dashboard was sent, or is one of the rare ones that Airflow's registry names."""
    dashboard = json.loads((ROOT / "docker/grafana/dashboards/seuron.json").read_text())
    expressions = [query["expr"] for panel in dashboard["panels"] for query in panel["targets"]]
    wanted = {name for expression in expressions for name in metrics_of(expression)}
    deadline = time.monotonic() + 240
    while (missing := wanted - RARE - listener.tags.keys()) and time.monotonic() < deadline:
        time.sleep(1)
    assert missing == set(), sorted(listener.tags)
    listener.socket.close()
    import airflow

    template = Path(airflow.__file__).parent / "_shared/observability/metrics/metrics_template.yaml"
    registered = {
        "airflow_" + metric["name"].replace(".", "_") for metric in yaml.safe_load(template.read_text())["metrics"]
    }
    assert registered >= RARE
    for name, label in (
        ("airflow_ti_queued", "queue"),
        ("airflow_ti_running", "queue"),
        ("airflow_task_duration_bucket", "task_id"),
    ):
        assert label in listener.tags[name], name
