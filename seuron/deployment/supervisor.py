"""The one background process of a deployment: it starts the services and keeps them alive.

Run as `python -m seuron.deployment.supervisor FOLDER FIRST_PORT EXECUTOR CLUSTER`: `local` or `celery`, and the
file of a cluster or an empty word. It holds a lock on a file for as long as it lives, so a second one
cannot start and a stale process id cannot mislead.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import psycopg2

from seuron.cluster.local_machine import MANAGER_SLOTS, LocalMachine
from seuron.cluster.records import ClusterEvent, Records
from seuron.deployment.cluster import records_folder
from seuron.deployment.environment import ADDRESS, service_environment
from seuron.deployment.home import Home, code_fingerprint
from seuron.deployment.kernels import KERNELS, compile_command, kernels_stamp
from seuron.deployment.locks import try_lock
from seuron.deployment.ports import claim_port
from seuron.deployment.postgres import Postgres
from seuron.deployment.processes import end_processes
from seuron.deployment.steps import STARTING_AIRFLOW, Step, log_tail
from seuron.engine.queues import MANAGER
from seuron.errors import RunError
from seuron.printable import printable
from seuron.storage.private_files import PRIVATE_UMASK, open_log, write_secret

if TYPE_CHECKING:
    from seuron.deployment.broker import Broker

#: Seconds between looks at the services.
_LOOK = 0.25
#: Seconds before the first restart of a service that keeps dying, doubled up to the longest.
_FIRST_BACK_OFF, _LONGEST_BACK_OFF = 0.5, 30.0
#: A service that lived this long was healthy: its next restart is prompt again.
_HEALTHY_SECONDS = 60.0

#: Airflow gives the tasks of a dead scheduler back only once its last heartbeat is old (30 s by
#: default). The supervisor knows that none is alive when it starts one, and says so.
_DISOWN_DEAD = "UPDATE job SET state = 'failed', end_date = now() WHERE job_type = '{}' AND state = 'running'"


@dataclass
class Service:
    """One supervised process and the history of its restarts."""

    name: str
    command: list[str]
    user: str | None = None
    before: Callable[[], None] | None = None
    runs_tasks: bool = False
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    back_off: float = field(default=_FIRST_BACK_OFF)
    not_before: float = 0.0


@dataclass
class Preparation:
    """A process that has to end well before the services that need what it makes; `stamp` says that it has."""

    service: str
    step: Step
    process: subprocess.Popen[bytes]
    stamp: Path
    stamped: str


class Supervisor:
    """Starts the services in order, then restarts whatever dies until it is told to stop.

    `write_state` is told what it does now, and what has died, for whoever waits for the start. `task_umask` is for
    what runs tasks, which write results where colleagues may read them; all else writes the state folder only.
    """

    def __init__(
        self,
        home: Home,
        port: int,
        write_state: Callable[[Mapping[str, object]], None],
        *,
        celery: bool = False,
        cluster: str = "",
        task_umask: int = PRIVATE_UMASK,
    ) -> None:
        self.home, self.port, self.celery, self.cluster = home, port, celery, cluster
        self.task_umask = task_umask
        self._write_state = write_state
        self._begin(Step("making the database", ("supervisor",)))
        self.machine = LocalMachine.this()
        self.broker = _prepare_broker(home) if celery else None
        self.postgres = Postgres.prepare(home.database)
        self.services: list[Service] = []
        self.stopping = False
        self.deaths: dict[str, dict[str, object]] = {}

    def run(self) -> None:
        """Bring everything up, watch it, and take it down on SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)
        try:
            self._note("the deployment was started")
            self._start_all()
            while not self.stopping:
                for service in self.services:
                    self._keep_alive(service)
                time.sleep(_LOOK)
        finally:
            self._stop_all()

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def _start_all(self) -> None:
        # A killed supervisor leaves its services behind: they are unknown to this one.
        end_processes(self.home.folder)
        self._begin(Step("starting the database", ("postgres",)))
        self._add(Service("postgres", self.postgres.command, user=self.postgres.user))
        self._wait_for(self.postgres.is_ready)
        if self.broker is not None:
            self._add(Service("redis", self.broker.command))
        kernels, tables = self._compile(), self._migrate()
        self._finish(tables)
        airflow = [sys.executable, "-m", "airflow"]
        self._add(Service("api-server", [*airflow, "api-server", "--apps", "all"]))
        self._add(Service("dag-processor", [*airflow, "dag-processor"], before=self._disown("DagProcessorJob")))
        if self.broker is not None:
            self._wait_for(self.broker.is_ready)
            self._add(Service("worker-manager", manager_worker(), runs_tasks=True))
        # Its workers, which load the kernels, begin with tasks that are left of an earlier start at once.
        self._finish(kernels)
        self._begin(Step(STARTING_AIRFLOW, ("api-server", "dag-processor", "scheduler")))
        scheduler = [*airflow, "scheduler", "--skip-serve-logs"]
        self._add(Service("scheduler", scheduler, before=self._disown("SchedulerJob"), runs_tasks=True))

    def _begin(self, step: Step) -> None:
        log(step.name)
        self._write_state({"step": step.to_json()})

    def _disown(self, job_type: str) -> Callable[[], None]:
        return lambda: self.postgres.execute(_DISOWN_DEAD.format(job_type))

    def _add(self, service: Service) -> None:
        self.services.append(service)
        if not self.stopping:
            self._launch(service)

    def _launch(self, service: Service) -> None:
        if service.before is not None:
            service.before()
        umask = self.task_umask if service.runs_tasks else PRIVATE_UMASK
        service.process = self._spawn(service.name, service.command, service.user, umask)
        service.started = time.monotonic()
        log(f"started {service.name} as process {service.process.pid}")

    def _spawn(
        self, name: str, command: list[str], user: str | None = None, umask: int = PRIVATE_UMASK
    ) -> subprocess.Popen[bytes]:
        """A process with the deployment's environment and marks, which writes to the log of that name."""
        environment = self._environment(name)
        with os.fdopen(open_log(self.home.logs / f"{name}.log"), "ab") as log:
            return subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=user,
                group=user,
                extra_groups=[] if user else None,
                umask=umask,
                cwd=self.home.folder,
            )

    def _environment(self, service: str) -> dict[str, str]:
        sockets = self.postgres.socket_folder
        return service_environment(
            self.home, service, self.port, sockets, self.machine, celery=self.celery, cluster=self.cluster
        )

    def _keep_alive(self, service: Service) -> None:
        """Start the service again if it has died and its back-off is over."""
        now = time.monotonic()
        if service.process is not None:
            code = service.process.poll()
            if code is None:
                return
            if now - service.started > _HEALTHY_SECONDS:
                service.back_off = _FIRST_BACK_OFF
            log(f"{service.name} ended with code {code}; starting it again in {service.back_off:g} s")
            self._note(f"{service.name} ended {_how(code)} and is started again")
            self._count_death(service.name, code)
            service.process, service.not_before = None, now + service.back_off
            service.back_off = min(2 * service.back_off, _LONGEST_BACK_OFF)
        if now >= service.not_before:
            # Workers outlive a killed scheduler and would hold tasks that nobody waits for.
            end_processes(self.home.folder, service.name)
            self._relaunch(service)

    def _note(self, what: str) -> None:
        """Tell the runs of the cluster, whose reports say what happened."""
        if self.cluster:
            Records(records_folder(self.home)).add(ClusterEvent(time.time(), (what,)))

    def _relaunch(self, service: Service) -> None:
        try:
            self._launch(service)
        except (psycopg2.Error, OSError) as error:  # the database may be down as well
            log(f"{service.name} did not start: {error!r}; trying again in {service.back_off:g} s")
            service.not_before = time.monotonic() + service.back_off

    def _count_death(self, service: str, code: int) -> None:
        before = self.deaths.get(service, {}).get("count", 0)
        self.deaths[service] = {"count": int(str(before)) + 1, "how": _how(code)}
        self._write_state({"deaths": self.deaths})

    def _migrate(self) -> Preparation | None:
        """Make or update Airflow's tables, once per Airflow version."""
        command = [sys.executable, "-m", "airflow", "db", "migrate"]
        wanted = version("apache-airflow-core")
        return self._prepare("migration", "making Airflow's tables", command, self.home.schema_stamp, wanted)

    def _compile(self) -> Preparation | None:
        """Compile the kernels, once for each version of them and each kind of processor."""
        stamp = kernels_stamp(Path(self._environment(KERNELS)["NUMBA_CACHE_DIR"]))
        return self._prepare(KERNELS, "compiling the kernels", compile_command(), stamp, "")

    def _prepare(self, service: str, name: str, command: list[str], stamp: Path, stamped: str) -> Preparation | None:
        """Start what a stamp says is not done; None where it is."""
        if stamp.exists() and stamp.read_text() == stamped:
            return None
        return Preparation(service, Step(name, (service,)), self._spawn(service, command), stamp, stamped)

    def _finish(self, preparation: Preparation | None) -> None:
        """Wait for its end; raises RunError with the end of its log where it failed."""
        if preparation is None or self.stopping:
            return
        self._begin(preparation.step)
        self._wait_for(lambda: preparation.process.poll() is not None)
        code = preparation.process.poll()
        if code is None:
            return  # told to stop, which ends it
        if code:
            tail = log_tail(self.home.logs, preparation.service)
            raise RunError(f"{preparation.step.name} ended {_how(code)}; {preparation.service}.log ends:\n{tail}")
        preparation.stamp.write_text(preparation.stamped)

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        """Return once the condition holds, restarting what dies meanwhile."""
        while not self.stopping and not condition():
            for service in self.services:
                self._keep_alive(service)
            time.sleep(0.1)

    def _stop_all(self) -> None:
        """Take everything down, the broker and the database last and in good order.

        Airflow's processes are killed: they keep nothing that is not in the database, the scheduler
        would otherwise wait for tasks that may take an hour, and tasks may be killed anywhere.
        """
        log("stopping")
        for name in ("scheduler", "dag-processor", "worker-manager", "api-server", "migration", KERNELS):
            end_processes(self.home.folder, name)
        for service in self.services:
            if service.name in ("redis", "postgres") and service.process is not None and service.process.poll() is None:
                service.process.send_signal(signal.SIGINT)  # "fast": ends sessions, writes a checkpoint
                try:
                    service.process.wait(20)
                except subprocess.TimeoutExpired:
                    log(f"{service.name} does not end; killing it, it will recover at the next start")
        end_processes(self.home.folder)
        log("stopped")


def _prepare_broker(home: Home) -> Broker:
    from seuron.deployment.broker import Broker  # needs redis, which one machine does without

    return Broker.prepare(home)


def manager_worker() -> list[str]:
    """The worker of the tasks that manage others."""
    slots = str(MANAGER_SLOTS)
    return [sys.executable, "-m", "seuron.cli", "worker", "--queue", MANAGER, "--slots", slots, "--name", MANAGER]


def _how(code: int) -> str:
    return f"by signal {-code}" if code < 0 else f"with code {code}"


def log(message: str) -> None:
    """One line for the supervisor's log."""
    print(time.strftime("%Y-%m-%d %H:%M:%S"), printable(message), flush=True)


def _write_state(home: Home, state: dict[str, object]) -> None:
    write_secret(home.supervisor_state, json.dumps(state))


def main() -> None:
    """Entry point of the background process; the process that was called returns at once."""
    home, first_port = Home(Path(sys.argv[1])), int(sys.argv[2])
    executor, cluster = sys.argv[3:5]
    task_umask = os.umask(PRIVATE_UMASK)
    lock = try_lock(home.supervisor_lock)  # before the fork, so that it is held when the call returns
    if lock is None:
        raise SystemExit(f"another supervisor already runs in {home.folder}")
    if os.fork():
        os._exit(0)
    try:
        port, _port_lock = claim_port(ADDRESS, first_port)
    except RunError as error:
        _write_state(home, {"failure": str(error)})
        raise
    state: dict[str, object] = {"pid": os.getpid(), "port": port, "executor": executor, "cluster": cluster}
    state["started"] = time.time()
    state["code"] = code_fingerprint()

    def write_state(more: Mapping[str, object]) -> None:
        state.update(more)
        _write_state(home, state)

    try:
        celery = executor == "celery"
        Supervisor(home, port, write_state, celery=celery, cluster=cluster, task_umask=task_umask).run()
    except Exception as error:
        write_state({"failure": str(error) if isinstance(error, RunError) else f"{type(error).__name__}: {error}"})
        raise


if __name__ == "__main__":
    main()
