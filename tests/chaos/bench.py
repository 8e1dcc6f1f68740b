"""A whole deployment to break: Airflow, PostgreSQL, Redis, and a cluster of worker processes on the stand-in.

The stand-in for Compute Engine belongs to the test, as the real one belongs to Google: it survives what
happens to the deployment. Its machines are real `seuron worker` processes that join the deployment here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from chaos.object_store import ObjectStore
from compute_engine.machines import ProcessMachines
from compute_engine.server import ComputeEngine
from watchdog import run_folder

from seuron.client import AirflowClient
from seuron.cluster.records import ClusterEvent, Records
from seuron.cluster.workers import BrokerWorkers
from seuron.deployment import Deployment, Home
from seuron.deployment.cluster import records_folder
from seuron.deployment.processes import marked_processes
from seuron.errors import ComputeError

#: Lost workers are noticed within seconds, not minutes. Nothing else differs from what users run.
SETTINGS = {
    "celery_broker_transport_options.visibility_timeout": "20",
    "scheduler.task_instance_heartbeat_timeout": "20",
    "scheduler.task_instance_heartbeat_timeout_detection_interval": "5",
    "scheduler.task_queued_timeout": "300",
}
#: Seconds between two steps of the scaling.
STEP_SECONDS = 10
SPOT, SURE = "us-east1-b", "us-east1-c"
#: The most machines of each group; each does one task at a time.
MOST = 2

_CLUSTER = """
name = "bench"
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
[policy]
target_seconds = 10
assumed_seconds = 5
boot_seconds = 5
paid_seconds = 0
ramp_seconds = 2
idle_seconds = 10
settle_seconds = 5
rest_seconds = 10
start_seconds = 90
dead_seconds = 60
[[groups]]
name = "spot"
queue = "cpu"
zone = "{spot}"
machine_type = "e2-standard-8"
slots = 1
slot_memory_gib = 2
max_size = {most}
spot = true
[[groups]]
name = "sure"
queue = "cpu"
zone = "{sure}"
machine_type = "e2-standard-8"
slots = 1
slot_memory_gib = 2
max_size = {most}
"""


class Bench:
    """The deployment, its cluster, an object store, and hands to break them with."""

    def __init__(self, folder: Path, engine: ComputeEngine, store: ObjectStore) -> None:
        self.home, self.engine, self.store = Home(folder / "home"), engine, store
        self.deployment = Deployment(self.home)
        self.file = folder / "cluster.toml"
        assert isinstance(engine.service.machines, ProcessMachines)
        self.machines: ProcessMachines = engine.service.machines
        self.file.write_text(_CLUSTER.format(endpoint=engine.url, spot=SPOT, sure=SURE, most=MOST))
        (folder / "manager.sh").write_text("true\n")

    def start(self) -> None:
        """As users do: make the cluster, start the deployment."""
        self.home.create()
        self.home.settings.write_text(json.dumps(SETTINGS))
        self.command("cluster", "create", str(self.file), "--yes")
        self.up()

    def up(self) -> None:
        """Start the deployment, or what is missing of it."""
        self.command("up", "--cluster", str(self.file), seconds=400)

    def command(self, *words: str, seconds: float = 120) -> str:
        """Run a `seuron` command to its end."""
        command = [sys.executable, "-m", "seuron.cli", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    @contextmanager
    def client(self) -> Iterator[AirflowClient]:
        """A connection to Airflow."""
        with self.deployment.client() as made:
            yield made

    # What there is.

    def instances(self) -> list[str]:
        """The machines of the groups that run now or are being made or removed."""
        service = self.engine.service
        with service.lock:
            return sorted(item.name for items in service.managed.values() for item in items)

    def targets(self) -> dict[str, int]:
        """The size that was asked for last, by zone."""
        service = self.engine.service
        with service.lock:
            groups = service.resources["instanceGroupManagers"]
            return {zone: int(group["targetSize"]) for (zone, _), group in groups.items()}

    def shortages(self, zone: str) -> int:
        """How often the stand-in has had no machine to give."""
        service = self.engine.service
        with service.lock:
            return sum(len(errors) for (place, _), errors in service.errors.items() if place == zone)

    def working(self) -> list[str]:
        """The machines whose worker process lives."""
        known = self.machines.processes
        return sorted(name for name in self.instances() if name in known and not self.machines.ended(name))

    def ever(self) -> set[str]:
        """All machines that have begun since the bench was opened."""
        return {log.stem for log in self.machines.folder.glob("*.log")}

    def events(self) -> list[ClusterEvent]:
        """What the steps of the scaling wrote down."""
        return Records(records_folder(self.home)).events()

    def at_work(self) -> list[str]:
        """The machines whose workers said that they take tasks or do some, and whose processes live."""
        known = self.working()
        try:
            found = BrokerWorkers(self.home.broker_url.read_text()).reports()
        except ComputeError:  # the broker may be what was killed last
            return []
        return [
            report.instance for report in found if (report.accepting or report.running) and report.instance in known
        ]

    def worker_processes(self, instance: str | None = None) -> list[psutil.Process]:
        """Processes of workers of the cluster, of one machine or of all, whoever should have ended them."""
        found = []
        for process in marked_processes(self.home.folder):
            with suppress(psutil.Error, OSError):
                service = process.environ().get("SEURON_SERVICE", "")
                name = service.removeprefix("worker-")
                if name not in (service, "manager") and instance in (None, name):
                    found.append(process)
        return found

    # Hands.

    def kill(self, service: str) -> None:
        """SIGKILL for all processes of a service of the deployment; the supervisor starts it again."""
        doomed = marked_processes(self.home.folder, service)
        assert doomed, f"no process of {service} to kill"
        _kill_all(doomed)

    def lose(self, instance: str) -> None:
        """A machine vanishes without notice, and its processes with it; its group makes it anew."""
        self.engine.service.preempt(instance)

    def cut_power(self) -> None:
        """All at once: the supervisor, all services, all machines."""
        status = self.deployment.status()
        assert status.supervisor is not None
        _kill_all([psutil.Process(status.supervisor)])
        while doomed := marked_processes(self.home.folder):
            _kill_all(doomed)
        for instance in self.instances():
            self.lose(instance)

    def heal(self) -> None:
        """Take away every fault of the stand-ins."""
        faults = self.engine.service.faults
        faults.no_stock.clear()
        faults.hangs.clear()
        self.engine.service.times.operation = 0.0
        self.store.delay, self.store.refuse_each = 0.0, 0


def _kill_all(doomed: list[psutil.Process]) -> None:
    for process in doomed:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(doomed, timeout=10)


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> None:
    """Return once the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.2)


@contextmanager
def open_bench(environment: dict[str, str]) -> Iterator[Bench]:
    """A bench for a block; nothing of it is left afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir=run_folder()))
    folder.chmod(0o755)  # as root, the database runs as another user
    with ObjectStore() as store:
        added = {
            **store.settings(folder / "cloud-files"),
            "SEURON_HOME": str(folder / "home"),
            "SEURON_CLUSTER_SECONDS": str(STEP_SECONDS),
        }
        before = {name: os.environ.get(name) for name in added}
        os.environ.update({**environment, **added})
        machines = ProcessMachines(folder / "machines", added, {"seuron": [sys.executable, "-m", "seuron.cli"]})
        try:
            with ComputeEngine(machines) as engine:
                engine.service.times.boot, engine.service.times.shutdown = 0.5, 30.0
                bench = Bench(folder, engine, store)
                try:
                    bench.start()
                    yield bench
                finally:
                    bench.deployment.stop()
            machines.stop_all()
            assert marked_processes(folder / "home") == []
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value
