"""A manager as docker-compose.cluster.yml starts it: with passwords, it scales a cloud's groups from nothing and back.

The cloud is the stand-in for Compute Engine, whose machines are real workers with the environment that Google's
have: the broker's secret, and the address of Airflow.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose import ROOT, Listener, Native, metrics_of, postgres_programs, read_with_cluster
from compute_engine.machines import ProcessMachines
from compute_engine.server import ComputeEngine
from watchdog import run_folder

from seuron.airflow_rest.login import PasswordLogin
from seuron.client import AirflowClient
from seuron.cluster.records import Records

pytestmark = [
    pytest.mark.chaos,  # minutes on an idle machine, and much longer beside other tests
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server (Debian's redis-server)"),
    pytest.mark.skipif(shutil.which("docker-compose") is None, reason="no docker-compose (Debian's docker-compose)"),
    pytest.mark.skipif(postgres_programs() is None, reason="no PostgreSQL (Debian's postgresql)"),
]

Conf = Callable[..., dict[str, Any]]

CLUSTER = """
name = "tissue"
provider = "google"
queues = [{{ name = "cpu" }}]
[google]
project = "p"
region = "us-east1"
service_account = "seuron@p.iam.gserviceaccount.com"
endpoint = "{endpoint}"
[images]
container = "registry.example/seuron:1"
[manager]
zone = "us-east1-b"
script = "manager.sh"
[worker.environment]
AIRFLOW__CORE__EXECUTION_API_SERVER_URL = "{airflow}/execution/"
[policy]
idle_seconds = 10
settle_seconds = 5
ramp_seconds = 2
boot_seconds = 10
paid_seconds = 0
[[groups]]
name = "spot"
queue = "cpu"
zone = "us-east1-b"
machine_type = "e2-standard-8"
slots = 2
slot_memory_gib = 2
max_size = 1
spot = true
"""


@dataclass
class Manager:
    """The services of the compose file, and the cloud whose groups they scale."""

    native: Native
    engine: ComputeEngine
    records: Records

    def instances(self) -> list[str]:
        service = self.engine.service
        with service.lock:
            return sorted(item.name for items in service.managed.values() for item in items)

    def log_in(self) -> AirflowClient:
        url = self.native.url
        return AirflowClient(url, auth=PasswordLogin(url, "admin", self.native.passwords()["admin"]))


@pytest.fixture(scope="module")
def manager(environment: dict[str, str]) -> Iterator[Manager]:
    """The cluster made as a user would, and the manager's services up; nothing of them is left afterwards."""
    # Not pytest's own folder, which it locks to one user: as root, the database runs as another.
    folder = Path(tempfile.mkdtemp(prefix="manager-", dir=run_folder()))
    folder.chmod(0o755)
    variables = {
        "SEURON_ADDRESS": "127.0.0.1",
        "SEURON_CLUSTER_FILE": "./cluster.toml",
        "SEURON_CLUSTER_SECONDS": "5",
        "SEURON_METRICS": "True",
    }
    native = Native(folder, read_with_cluster(variables))
    machines = ProcessMachines(
        folder / "machines", _of_a_machine(native), {"seuron": [sys.executable, "-m", "seuron.cli"]}
    )
    try:
        with ComputeEngine(machines) as engine:
            engine.service.times.boot = 0.5
            file = folder / "cluster.toml"
            file.write_text(CLUSTER.format(endpoint=engine.url, airflow=native.url))
            (folder / "manager.sh").write_text("true\n")
            create = [sys.executable, "-m", "seuron.cli", "cluster", "create", str(file), "--yes"]
            subprocess.run(create, check=True, capture_output=True, env=dict(os.environ))
            native.bring_up("manager")
            yield Manager(native, engine, Records(folder / "airflow" / "seuron" / "cluster"))
    finally:
        machines.stop_all()
        native.end()
        shutil.rmtree(folder, ignore_errors=True)


def _of_a_machine(native: Native) -> dict[str, str]:
    """What a machine's scripts and the image give a worker beside its template's environment."""
    read = f"cat {native.folder / 'secrets' / 'broker-url'}"
    return {
        "AIRFLOW__CELERY__BROKER_URL_CMD": read,
        "AIRFLOW__CELERY__RESULT_BACKEND_CMD": read,
        "AIRFLOW__CORE__DAGS_FOLDER": native.environment("manager")["AIRFLOW__CORE__DAGS_FOLDER"],
        "AIRFLOW_HOME": str(native.folder / "machines" / "airflow"),
    }


def test_a_manager_with_passwords_scales_its_groups(manager: Manager, conf: Conf, tmp_path: Path) -> None:
    """No machine before the run, some for it, none after it; what it cost is told, and no secret is in a log."""
    native = manager.native
    listener = Listener(native.ports["statsd-exporter"])
    assert manager.instances() == []
    with manager.log_in() as client:
        native.wait_until(lambda: "segmentation" in client.parsed_dags(), 120)
        run_id = client.trigger("segmentation", conf(tmp_path / "run", chunk_size="80,64,64"))
        native.wait_until(manager.instances, 400)
        state = client.wait("segmentation", run_id, seconds=900)
        assert state == "success", client.task_errors("segmentation", run_id)
        states = {task.task_id: task.state for task in client.task_instances("segmentation", run_id)}
        assert states["machines_watershed"] == "success"
        native.wait_until(lambda: manager.instances() == [], 240)
        assert list(client.pages("/dags/cluster/dagRuns", "dag_runs", {"state": "failed"})) == []
    snapshot = manager.records.snapshot()
    assert snapshot is not None
    assert snapshot.problems == ()
    assert manager.records.ledger().runs[run_id] > 0
    assert '"spot"' in (tmp_path / "run" / "costs.json").read_text()
    assert native.shown() == []
    (alarm,) = yaml.safe_load((ROOT / "docker/prometheus/alerts.yml").read_text())["groups"][0]["rules"]
    assert set(metrics_of(alarm["expr"])) <= listener.tags.keys()
