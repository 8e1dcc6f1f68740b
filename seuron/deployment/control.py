"""Starting, stopping and looking at the embedded deployment."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from seuron.client import AirflowClient
from seuron.compute.cluster_file import read_cluster
from seuron.compute.machine import Machine
from seuron.deployment.cluster import empty_groups
from seuron.deployment.environment import ADDRESS, DEFAULT_PORT, SERVICE_MARK, service_environment
from seuron.deployment.home import PROJECT, Home, code_fingerprint
from seuron.deployment.locks import held, is_locked
from seuron.deployment.postgres import socket_folder
from seuron.deployment.processes import end_processes, marked_processes, resident_bytes
from seuron.errors import PermanentError, RunError, SeuronError

#: A first start on two busy cores makes a database and its tables; 20 s when nothing else runs.
START_SECONDS = 240.0
#: Ports tried, from the last one used or the default.
_PORTS_TRIED = 50
#: Pools that bound nothing: Celery workers take what they have slots for.
POOLS = ("cpu", "gpu", "memory", "manager")
UNLIMITED = 100_000
_SERVICES = ("postgres", "api-server", "dag-processor", "scheduler")


class DagImportError(PermanentError):
    """A file in `dags/` cannot be imported: waiting will not help."""


@dataclass(frozen=True)
class Kind:
    """How tasks are run: `local` or `celery`, and the file of the cluster that workers come from, or nothing."""

    executor: str = "local"
    cluster: str = ""


@dataclass(frozen=True)
class DeploymentStatus:
    """What runs, where, and what it takes."""

    folder: Path
    running: bool
    healthy: bool
    url: str | None = None
    supervisor: int | None = None
    services: dict[str, int] = field(default_factory=dict)
    memory_bytes: int = 0


class Deployment:
    """The deployment of one state folder."""

    def __init__(self, home: Home | None = None) -> None:
        self.home = home or Home.default()

    def start(
        self, *, celery: bool | None = None, cluster: Path | None = None, seconds: float = START_SECONDS
    ) -> DeploymentStatus:
        """Have everything running and return; reuses what runs, clears away what is left over.

        With `celery` tasks go to Celery workers by their queues, without to processes of the scheduler. With
        `cluster`, a cluster's file, these workers come from its groups. With neither all stays as it was.
        """
        if not (PROJECT / "dags").is_dir():
            raise RunError(
                f"no dags folder at {PROJECT / 'dags'}: install seuron from its source with `pip install -e`"
            )
        self.home.create()
        with held(self.home.start_lock, seconds):
            deadline = time.monotonic() + seconds
            kind = self._kind(celery, cluster)
            if is_locked(self.home.supervisor_lock) and (self._is_outdated() or self._kind() != kind):
                self.stop()
            reused = is_locked(self.home.supervisor_lock)
            if not reused:
                self._start_afresh(kind)
            try:
                self._make_ready(deadline)
            except RunError:
                if not reused or is_locked(self.home.supervisor_lock):
                    raise
                # It was dying when it was looked at: a process keeps its locks until it is quite gone.
                self._start_afresh(kind)
                self._make_ready(deadline)
        return self.status()

    def stop(self) -> bool:
        """End every process of the deployment, and remove the machines of its cluster; False when there was none.

        Raises RunError when machines may be left, once all else has ended.
        """
        if not self.home.folder.is_dir():
            return False
        supervisor = self._supervisor()
        if supervisor is not None:
            supervisor.send_signal(signal.SIGTERM)
            psutil.wait_procs([supervisor], timeout=40)
        left = marked_processes(self.home.folder)
        end_processes(self.home.folder)
        self._remove_machines()
        return supervisor is not None or bool(left)

    def _remove_machines(self) -> None:
        """Nothing is left to give the groups tasks, so they go to nothing; the next step of a deployment fills them."""
        path = self._kind().cluster
        if not path:
            return
        try:
            empty_groups(read_cluster(path))
        except SeuronError as error:
            raise RunError(
                f"all processes of this machine have ended, but machines of the cluster in {path} may be left: "
                f"{error}\nsee `seuron cluster status {path}`, and remove them with `seuron cluster scale`"
            ) from error

    def status(self) -> DeploymentStatus:
        """A look that changes nothing."""
        supervisor = self._supervisor()
        if supervisor is None:
            return DeploymentStatus(self.home.folder, running=False, healthy=False)
        processes = marked_processes(self.home.folder)
        with AirflowClient(self.url, timeout=5.0) as client:
            healthy = not self._unready(client)
        return DeploymentStatus(
            self.home.folder,
            running=True,
            healthy=healthy,
            url=self.url,
            supervisor=supervisor.pid,
            services=_count_by_service(processes),
            memory_bytes=resident_bytes([*processes, supervisor]),
        )

    @property
    def url(self) -> str:
        """Where Airflow is; raises RunError when nothing runs."""
        port = self._state().get("port")
        if port is None or not is_locked(self.home.supervisor_lock):
            raise RunError(f"no deployment runs in {self.home.folder}; start it with `seuron up`")
        return f"http://{ADDRESS}:{port}"

    def log_tail(self, service: str, lines: int = 15) -> str:
        """The end of a service's log, for messages."""
        path = self.home.logs / f"{service}.log"
        text = path.read_text(errors="replace") if path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _state(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads(self.home.supervisor_state.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return state

    def _supervisor(self) -> psutil.Process | None:
        if not is_locked(self.home.supervisor_lock):
            return None
        try:
            return psutil.Process(self._state()["pid"])
        except (KeyError, psutil.NoSuchProcess):
            return None  # it has the lock but not yet written its state, or ended this instant

    def _kind(self, celery: bool | None = None, cluster: Path | None = None) -> Kind:
        """As asked for, else as it was."""
        if cluster is not None:
            read_cluster(cluster)  # what is wrong with it is said before anything is stopped or started
            return Kind("celery", str(cluster.resolve()))
        if celery is not None:
            return Kind("celery" if celery else "local")
        state = self._state()
        return Kind(str(state.get("executor", "local")), str(state.get("cluster", "")))

    @property
    def cluster_file(self) -> str:
        """The file of the cluster that the workers come from; empty where there is none."""
        return self._kind().cluster

    def worker_environment(self, name: str) -> dict[str, str]:
        """The environment of a worker on this machine; raises RunError where no deployment with Celery runs."""
        if self._kind().executor != "celery" or not is_locked(self.home.supervisor_lock):
            raise RunError(f"no deployment with Celery runs in {self.home.folder}; start it with `seuron up --celery`")
        sockets = socket_folder(self.home.database)
        port, service = int(self._state()["port"]), f"worker-{name}"
        return service_environment(self.home, service, port, sockets, Machine.this(), celery=True)

    def _is_outdated(self) -> bool:
        """Whether the source has changed since the start, and no run would be disturbed by a new one."""
        if self._state().get("code") == code_fingerprint():
            return False
        try:
            with AirflowClient(self.url) as client:
                return not client.is_busy()
        except (httpx.HTTPError, RunError):
            return True

    def _free_port(self) -> int:
        """The port of last time, else the default, else the next free one."""
        first = int(self._state().get("port") or DEFAULT_PORT)
        for port in range(first, first + _PORTS_TRIED):
            with socket.socket() as probe:
                # Connections that are closing must not count as a port taken.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((ADDRESS, port))
                except OSError:
                    continue
                return port
        raise RunError(f"no free port on {ADDRESS} from {first} to {first + _PORTS_TRIED - 1}; stop what holds them")

    def _spawn(self, port: int, kind: Kind) -> None:
        self.home.supervisor_state.unlink(missing_ok=True)
        module = "seuron.deployment.supervisor"
        command = [sys.executable, "-m", module, str(self.home.folder), str(port), kind.executor, kind.cluster]
        path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
        with (self.home.logs / "supervisor.log").open("ab") as log:
            subprocess.run(
                command,
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.home.folder,
                check=True,
            )
        deadline = time.monotonic() + 30
        while "pid" not in self._state():
            if time.monotonic() > deadline:
                raise RunError(f"the supervisor did not start; its log ends:\n{self.log_tail('supervisor')}")
            time.sleep(0.02)

    def _start_afresh(self, kind: Kind) -> None:
        end_processes(self.home.folder)
        self._spawn(self._free_port(), kind)

    def _make_ready(self, deadline: float) -> None:
        with AirflowClient(self.url, timeout=5.0) as client:
            self._wait_for(client, deadline)
        with AirflowClient(self.url) as client:
            client.size_pools(
                Machine.this().pools if self._kind().executor == "local" else dict.fromkeys(POOLS, UNLIMITED)
            )

    def _wait_for(self, client: AirflowClient, deadline: float) -> None:
        while missing := self._unready(client):
            if not is_locked(self.home.supervisor_lock):
                reason = self._state().get("failure", "it ended")
                raise RunError(f"the deployment did not start: {reason}\n{self.log_tail('supervisor')}")
            if time.monotonic() > deadline:
                raise RunError(f"the deployment is not ready: {missing}; logs are in {self.home.logs}")
            time.sleep(0.2)

    def _unready(self, client: AirflowClient) -> dict[str, str]:
        """What is not ready yet, and how; empty when all is."""
        try:
            return client.unhealthy() or self._unready_dags(client)
        except (httpx.HTTPError, RunError) as error:
            return {"api-server": str(error) or type(error).__name__}

    def _unready_dags(self, client: AirflowClient) -> dict[str, str]:
        """DAG files that this deployment has not parsed since it started (one file, one DAG)."""
        if errors := client.import_errors():
            raise DagImportError("Airflow cannot import the DAGs:\n" + "\n".join(errors))
        parsed = client.parsed_dags()
        started = datetime.fromtimestamp(self._state().get("started", 0.0), UTC)
        names = sorted(path.stem for path in (PROJECT / "dags").glob("*.py"))
        return {f"DAG {name}": "not parsed yet" for name in names if name not in parsed or parsed[name] < started}


def _count_by_service(processes: list[psutil.Process]) -> dict[str, int]:
    counts: dict[str, int] = dict.fromkeys(_SERVICES, 0)
    for process in processes:
        with suppress(psutil.Error):
            name = process.environ().get(SERVICE_MARK, "other")
            counts[name] = counts.get(name, 0) + 1
    return counts
