"""Start, stop and status of the embedded deployment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from seuron.airflow_rest import AirflowClient, login_from
from seuron.airflow_rest.login import LOGIN_FILE_VARIABLE
from seuron.cluster.local_machine import LocalMachine
from seuron.deployment.cluster import empty_groups
from seuron.deployment.environment import ADDRESS, DEFAULT_PORT, SERVICE_MARK, service_environment
from seuron.deployment.home import PROJECT, Home, code_fingerprint
from seuron.deployment.kernels import KERNELS
from seuron.deployment.locks import held, is_locked
from seuron.deployment.postgres import socket_folder
from seuron.deployment.processes import end_processes, marked_processes, resident_bytes
from seuron.deployment.steps import (
    STARTING_AIRFLOW,
    CpuMeter,
    StalledError,
    Step,
    StepStatus,
    StepWatch,
    log_bytes,
    log_tail,
    log_tails,
)
from seuron.engine.registry import BUILT_IN
from seuron.errors import PermanentError, RunError, SeuronError
from seuron.storage.private_files import open_log

#: Seconds between looks at a start; those that cost more, at processes and logs, are taken less often.
_LOOK_SECONDS, _CLOSE_LOOK_SECONDS = 0.2, 2.0
#: Seconds between words on how far a step is.
_TOLD_SECONDS = 10.0
#: Deaths of one service that a start of what runs already waits through: it may have been killed just now.
_DEATHS_ALLOWED = 2
#: The services that make ready what Airflow and `_unready` call so.
_MAKERS = {"scheduler": "scheduler", "dag_processor": "dag-processor", "metadatabase": "postgres"}
#: Pools that bound nothing: Celery workers take what they have slots for.
POOLS = ("cpu", "gpu", "memory", "manager")
UNLIMITED = 100_000
_SERVICES = ("postgres", "api-server", "dag-processor", "scheduler")
#: Where a browser logs in with a token (seuron.orchestration.pages.login).
LOGIN_PATH = "/seuron/login"


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
        self,
        *,
        celery: bool | None = None,
        cluster: Path | None = None,
        seconds: float | None = None,
        on_step: Callable[[str], None] | None = None,
    ) -> DeploymentStatus:
        """Have everything running and return; reuses what runs, clears away what is left over.

        With `celery` tasks go to Celery workers by their queues, without to processes of the scheduler. With
        `cluster`, a cluster's file, these workers come from its groups. With neither all stays as it was.

        Takes as long as it takes on a busy machine, unless `seconds` are given; `on_step` is told what is done
        meanwhile. Raises RunError, with what the logs say, when something has died or does not advance any more.
        """
        if not (PROJECT / "dags").is_dir():
            raise RunError(
                f"no dags folder at {PROJECT / 'dags'}: install seuron from its source with `pip install -e`"
            )
        self.home.create()
        wait = _Wait(None if seconds is None else time.monotonic() + seconds, on_step or (lambda step: None))
        if is_locked(self.home.start_lock):
            wait.show("waiting for another process that starts it")
        with held(self.home.start_lock, seconds):
            kind = self._kind(celery, cluster)
            if is_locked(self.home.supervisor_lock) and (self._is_outdated() or self._kind() != kind):
                wait.show("stopping what runs")
                self.stop()
            reused = is_locked(self.home.supervisor_lock)
            if not reused:
                self._start_afresh(kind)
            try:
                self._make_ready(wait, _DEATHS_ALLOWED if reused else 0)
            except StalledError:
                raise
            except RunError:
                if not reused or is_locked(self.home.supervisor_lock):
                    raise
                # It was dying when it was looked at: a process keeps its locks until it is quite gone.
                self._start_afresh(kind)
                self._make_ready(wait, 0)
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
        from seuron.cluster.config import read_cluster

        try:
            empty_groups(read_cluster(path))
        except SeuronError as error:
            raise RunError(
                f"all processes of this machine have ended, but machines of the cluster in {path} may be left: "
                f"{error}\nsee `seuron cluster status {path}`, and remove them with `seuron cluster scale`"
            ) from error

    def status(self) -> DeploymentStatus:
        """What runs and how it is; changes nothing."""
        supervisor = self._supervisor()
        if supervisor is None:
            return DeploymentStatus(self.home.folder, running=False, healthy=False)
        processes = marked_processes(self.home.folder)
        with self.client(timeout=5.0) as client:
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

    @property
    def login_url(self) -> str:
        """The address that logs a browser in: for the owner's eyes only. Raises RunError when nothing runs."""
        return f"{self.url}{LOGIN_PATH}?token={self.home.login_token()}"

    @property
    def login(self) -> httpx.Auth | None:
        """How the owner logs in; None where an earlier version has started it, which made no token and asks for none.

        Raises RunError when nothing runs.
        """
        file = str(self.home.login) if self.home.login.exists() else ""
        return login_from({LOGIN_FILE_VARIABLE: file}, self.url)

    def client(self, timeout: float = 30.0) -> AirflowClient:
        """Airflow's REST API as the owner; a request may take `timeout` s. Raises RunError when nothing runs."""
        return AirflowClient(self.url, timeout, self.login)

    def log_tail(self, service: str, lines: int = 15) -> str:
        """The end of a service's log, for messages."""
        return log_tail(self.home.logs, service, lines)

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
            from seuron.cluster.config import read_cluster

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
        return service_environment(self.home, service, port, sockets, LocalMachine.this(), celery=True)

    def _is_outdated(self) -> bool:
        """Whether the source has changed since the start, and no run would be disturbed by a new one."""
        if self._state().get("code") == code_fingerprint():
            return False
        try:
            with self.client() as client:
                return not client.is_busy()
        except (httpx.HTTPError, RunError):
            return True

    def _spawn(self, port: int, kind: Kind) -> None:
        self.home.supervisor_state.unlink(missing_ok=True)
        module = "seuron.deployment.supervisor"
        command = [sys.executable, "-m", module, str(self.home.folder), str(port), kind.executor, kind.cluster]
        path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
        with os.fdopen(open_log(self.home.logs / "supervisor.log"), "ab") as log:
            done = subprocess.run(
                command,
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.home.folder,
                check=False,
            )
        # The lock is that of the process's child, which says where it listens, or ends.
        while "pid" not in self._state():
            if done.returncode or (not is_locked(self.home.supervisor_lock) and "pid" not in self._state()):
                raise RunError(f"the supervisor did not start; its log ends:\n{self.log_tail('supervisor')}")
            time.sleep(0.02)

    def _start_afresh(self, kind: Kind) -> None:
        end_processes(self.home.folder)
        self.home.make_login()
        self._spawn(int(self._state().get("port") or DEFAULT_PORT), kind)

    def _make_ready(self, wait: _Wait, deaths_allowed: int) -> None:
        with self.client(timeout=5.0) as client:
            self._wait_for(client, wait, deaths_allowed)
        with self.client() as client:
            client.size_pools(
                LocalMachine.this().pools if self._kind().executor == "local" else dict.fromkeys(POOLS, UNLIMITED)
            )

    def _wait_for(self, client: AirflowClient, wait: _Wait, deaths_allowed: int) -> None:
        watch, meter, before = StepWatch(), CpuMeter(self.home.folder), self._deaths()
        next_close_look = 0.0
        while unready := self._unready(client):
            if not is_locked(self.home.supervisor_lock):
                reason = self._state().get("failure") or f"it ended\n{self.log_tail('supervisor')}"
                raise RunError(f"the deployment did not start: {reason}")
            self._check_deaths(before, deaths_allowed)
            step = self._step(unready)
            wait.show(step.name, self._detail(step, unready))
            if time.monotonic() >= next_close_look:
                next_close_look = time.monotonic() + _CLOSE_LOOK_SECONDS
                status = StepStatus(step, unready, log_bytes(self.home.logs, step.services), meter.read(step.services))
                try:
                    watch.check(status)
                except StalledError as error:
                    raise StalledError(f"{error}\n{log_tails(self.home.logs, step.services)}") from error
            if wait.deadline is not None and time.monotonic() > wait.deadline:
                raise RunError(
                    f"the deployment is not ready: {step.name}, {_words(unready)}\n"
                    f"{log_tails(self.home.logs, step.services)}"
                )
            time.sleep(_LOOK_SECONDS)

    def _step(self, unready: Mapping[str, str]) -> Step:
        """What the start is on: the supervisor's step, and of its services those that are waited for."""
        step = Step.from_json(self._state().get("step"))
        makers = {_MAKERS.get(name, "dag-processor" if name.startswith("DAG ") else name) for name in unready}
        return Step(step.name, tuple(name for name in step.services if name in makers) or step.services)

    def _detail(self, step: Step, unready: Mapping[str, str]) -> str:
        """How far a step is, for people: by its log, or by what is still waited for."""
        if step.services == (KERNELS,):
            return self.log_tail(KERNELS, 1)
        return _words(unready) if step.name == STARTING_AIRFLOW else ""

    def _deaths(self) -> dict[str, int]:
        """How often the supervisor has seen each service die."""
        return {name: int(found["count"]) for name, found in self._state().get("deaths", {}).items()}

    def _check_deaths(self, before: Mapping[str, int], allowed: int) -> None:
        for service, count in self._deaths().items():
            if count - before.get(service, 0) > allowed:
                how = self._state()["deaths"][service]["how"]
                raise RunError(
                    f"the deployment did not start: {service} ended {how}, and its log:\n{self.log_tail(service)}"
                )

    def _unready(self, client: AirflowClient) -> dict[str, str]:
        """What is not ready yet, and how; empty when all is."""
        try:
            return client.unhealthy() or self._unready_dags(client)
        except (httpx.HTTPError, RunError) as error:
            return {"api-server": str(error) or type(error).__name__}

    def _unready_dags(self, client: AirflowClient) -> dict[str, str]:
        """DAG files that this deployment has not parsed since it started (one each, but for the pipelines')."""
        if errors := client.import_errors():
            raise DagImportError("Airflow cannot import the DAGs:\n" + "\n".join(errors))
        parsed = client.parsed_dags()
        started = datetime.fromtimestamp(self._state().get("started", 0.0), UTC)
        files = {path.stem for path in (PROJECT / "dags").glob("*.py")}
        # One file makes the DAGs of all pipelines: when it is parsed, those of $SEURON_PIPELINES are there as well.
        names = sorted(files - {"pipelines"} | set(BUILT_IN))
        return {f"DAG {name}": "not parsed yet" for name in names if name not in parsed or parsed[name] < started}


@dataclass
class _Wait:
    """How long a start may take, and who is told what it is on: each step once, and now and then how far it is."""

    deadline: float | None
    on_step: Callable[[str], None]
    _step: str = ""
    _told: str = ""
    _told_at: float = 0.0

    def show(self, step: str, detail: str = "") -> None:
        told = f"{step}: {detail}" if detail else step
        if step != self._step or (told != self._told and time.monotonic() - self._told_at > _TOLD_SECONDS):
            self._step, self._told, self._told_at = step, told, time.monotonic()
            self.on_step(told)


def _words(unready: Mapping[str, str]) -> str:
    """What is not ready, for people."""
    return ", ".join(f"{name}: {how.splitlines()[0] if how else 'not ready'}" for name, how in unready.items())


def _count_by_service(processes: list[psutil.Process]) -> dict[str, int]:
    counts: dict[str, int] = dict.fromkeys(_SERVICES, 0)
    for process in processes:
        with suppress(psutil.Error):
            name = process.environ().get(SERVICE_MARK, "other")
            counts[name] = counts.get(name, 0) + 1
    return counts
