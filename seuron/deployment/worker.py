"""One worker: Celery in a process of its own, and beside it a watcher that reports, and ends it in good order.

The watcher computes nothing, so it reports in time however busy the tasks are.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import psutil

from seuron.cluster.names import WORKER_VARIABLE, worker_name
from seuron.cluster.workers import BROKER_ERRORS, Observer, WorkerService
from seuron.engine.queues import MANAGER
from seuron.printable import printable
from seuron.process_pool import end_with_parent

#: Seconds between reports.
LOOK_SECONDS = 5.0
#: A Celery that does not answer for so long, s, though the broker does, is stuck: some versions stay so after
#: a broker's restart. Ending it is all that helps; its tasks are tried again elsewhere.
DEAF_SECONDS = 180.0
#: After its tasks were ended, Celery may take so long, s, to tell Airflow of it.
_CLOSING_SECONDS = 6.0

#: Exit codes besides Celery's own: the broker was away for too long, and Celery did not answer for too long.
BROKER_LOST, DEAF = 3, 4


@dataclass(frozen=True)
class WorkerSettings:
    """How a worker is run: tasks get `grace` s when it ends; it ends when the broker is away for `patience` s."""

    name: str
    service: WorkerService
    broker_url: str
    folder: Path
    grace: float = 25.0
    patience: float = 1800.0

    def patient(self, grace: float, patience: float) -> WorkerSettings:
        """The same with other times, both in seconds."""
        return replace(self, grace=grace, patience=patience)

    @property
    def command(self) -> list[str]:
        """Celery, as Airflow starts it. Logs are not served: they lie in a folder that the API server reads."""
        queues, slots = ",".join(self.service.queues), str(self.service.slots)
        pid = ["--pid", str(self.folder / f"worker-{self.name}.pid")]
        celery = ["celery", "worker", "--skip-serve-logs", "--without-gossip", "--without-mingle"]
        options = ["--queues", queues, "--concurrency", slots, "--celery-hostname", self.name, *pid]
        return [sys.executable, "-m", "airflow", *celery, *options]


class Worker:
    """Runs Celery until it ends, is told to end, or the broker is gone for good."""

    def __init__(self, settings: WorkerSettings, environment: Mapping[str, str]) -> None:
        self.settings, self.environment = settings, environment
        self.stopping = False

    def run(self) -> int:
        """Start Celery, report, and return its exit code, or BROKER_LOST or DEAF."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)
        celery = self._start()
        observer = Observer(
            self.settings.broker_url,
            self.settings.name,
            self.settings.service,
            self.settings.folder,
            lambda: [process.create_time() for process in task_processes(celery.pid)],
        )
        try:
            failure = self._watch(celery, observer)
            self._end(celery, observer)
            return failure or abs(celery.returncode or 0)
        finally:
            with suppress(*BROKER_ERRORS):
                observer.close()

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def _start(self) -> subprocess.Popen[bytes]:
        # What a killed predecessor left would make Airflow refuse to start.
        (self.settings.folder / f"worker-{self.settings.name}.pid").unlink(missing_ok=True)
        queues = set(self.settings.service.queues)
        return subprocess.Popen(
            self.settings.command,
            env={
                **self.environment,
                "SEURON_KERNELS": "0" if queues == {MANAGER} else "1",
                # So that Airflow says which worker a task failed on.
                WORKER_VARIABLE: self.settings.name,
                "AIRFLOW__CORE__HOSTNAME_CALLABLE": f"{worker_name.__module__}.{worker_name.__name__}",
            },
            stdin=subprocess.DEVNULL,
            cwd=self.settings.folder,
            preexec_fn=end_with_parent,  # a watcher that was killed must not leave a worker that nobody watches
        )

    def _watch(self, celery: subprocess.Popen[bytes], observer: Observer) -> int:
        """Report until something ends; 0, or why the worker gives up."""
        heard = time.monotonic()
        while not self.stopping and celery.poll() is None:
            began = time.monotonic()
            try:
                observer.report()
                heard = time.monotonic()
            except BROKER_ERRORS as error:
                log(f"the broker does not answer: {type(error).__name__}")
                # A broker that was away excuses Celery's silence.
                observer.answered = time.monotonic()
            if time.monotonic() - heard > self.settings.patience:
                log(f"the broker has been away for {self.settings.patience:g} s; ending")
                return BROKER_LOST
            if time.monotonic() - observer.answered > DEAF_SECONDS:
                log(f"Celery has not answered for {DEAF_SECONDS:g} s though the broker does; ending")
                return DEAF
            self._sleep(celery, began + LOOK_SECONDS)
        return 0

    def _sleep(self, celery: subprocess.Popen[bytes], until: float) -> None:
        """Wait, but not for a worker that has ended or is to end."""
        while not self.stopping and time.monotonic() < until and celery.poll() is None:
            time.sleep(0.1)

    def _end(self, celery: subprocess.Popen[bytes], observer: Observer) -> None:
        """Take no more, let tasks end for `grace` s, then end them so that Airflow tries them elsewhere."""
        if celery.poll() is not None:
            return
        log(f"taking no more tasks; those that run have {self.settings.grace:g} s")
        celery.terminate()  # Celery's warm shutdown
        deadline = time.monotonic() + self.settings.grace
        while time.monotonic() < deadline:
            with suppress(*BROKER_ERRORS):
                observer.report()
            if _ended(celery, min(LOOK_SECONDS, max(0.0, deadline - time.monotonic()))):
                return
        tasks = task_processes(celery.pid)
        log(f"ending {len(tasks)} tasks; they will be tried again")
        for task in tasks:
            with suppress(psutil.NoSuchProcess):
                task.kill()  # tasks may be killed anywhere; Airflow's part of each tells the server of it
        if not _ended(celery, _CLOSING_SECONDS):
            for process in [*psutil.Process(celery.pid).children(recursive=True), psutil.Process(celery.pid)]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            celery.wait()


def _ended(celery: subprocess.Popen[bytes], seconds: float) -> bool:
    with suppress(subprocess.TimeoutExpired):
        celery.wait(seconds)
    return celery.poll() is not None


def task_processes(celery: int) -> list[psutil.Process]:
    """The processes that do tasks: children of the pool's processes, which are Celery's children."""
    found: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        below = psutil.Process(celery).children(recursive=True)
        pool = {process.pid for process in below if process.ppid() == celery}
        found = [process for process in below if process.ppid() in pool]
    return found


def log(message: str) -> None:
    """One line for the worker's log."""
    print(time.strftime("%Y-%m-%d %H:%M:%S"), f"worker: {printable(message)}", flush=True)
