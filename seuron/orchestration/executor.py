"""Airflow's LocalExecutor with warm workers, for the embedded deployment.

The scheduler forks one process, which loads what tasks need and then forks the workers; tasks are forks of workers.
So what it has loaded costs tasks nothing. A task of this project otherwise spends 3 seconds of
processor time on imports and on loading machine code, which is as long as many of them work.

The scheduler itself loads none of it: it has to say every few seconds that it is alive, also while a busy machine
takes minutes over the libraries.

Only what starts no thread may be loaded here, because a fork takes along the locks of threads but not the
threads: pyarrow and torch are left to the tasks that need them.
"""

from __future__ import annotations

import gc
import logging
import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import import_module
from multiprocessing import Process
from multiprocessing.connection import wait
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.executors.local_executor import LocalExecutor, _run_worker

log = logging.getLogger(__name__)

#: Loaded before workers are forked. Measured in s of processor time: the first three 0.6, 0.3 and 1.5, the others,
#: which a task loads to find its DAG and its run, 0.2 together.
PRELOADED = (
    "abiss_py",
    "scipy.ndimage",
    "cloudvolume",
    "airflow.dag_processing.dagbag",
    "airflow.sdk.execution_time.supervisor",
    "seuron.orchestration.budget",
    "seuron.orchestration.retry_reasons",
    "seuron.engine.execute",
    "seuron.pipelines.segmentation",
)

#: A first start on a busy machine imports the API server's modules while workers are made ready.
_API_SECONDS = 120.0


class WarmLocalExecutor(LocalExecutor):
    """Forks a process that loads what tasks need, waits for the API server, and only then forks the workers.

    A task that waits for a person gives its process back, and is sent again once it was answered. Where the
    answer comes in the same turn of the scheduler, the end of the first process is read after the second was
    sent, and Airflow takes it for the end of that one: it calls the task lost, and the answer with it. So an
    end counts only when it is the last that is due.
    """

    def start(self) -> None:
        """Called once by the scheduler, before it schedules anything."""
        self._due: Counter[Any] = Counter()
        super().start()

    def _spawn_workers_with_gc_freeze(self, spawn_number: int) -> None:
        """All workers at once, whatever the number: by one process, which also forks another for each that dies."""
        worker = {
            "logger_name": self.log.name,
            "input": self.activity_queue,
            "output": self.result_queue,
            "unread_messages": self._unread_messages,
            "team_conf": self.conf,
        }
        process = Process(target=run_workers, args=(self.parallelism, worker))
        process.start()
        assert process.pid is not None
        self.workers = {process.pid: process}

    def _check_workers(self) -> None:
        """The process that forks the workers is all that the scheduler watches."""
        if not any(process.is_alive() for process in self.workers.values()):
            log.warning("The process that forks the workers has ended; starting another")
            self._spawn_workers_with_gc_freeze(self.parallelism)

    def end(self) -> None:
        """Let the workers finish what they do, then end."""
        for _ in range(self.parallelism - 1):  # super().end() asks the one more
            self.activity_queue.put(None)
        super().end()

    def _process_workloads(self, workload_list: Sequence[Any]) -> None:
        self._due.update(workload.key for workload in workload_list)
        super()._process_workloads(workload_list)  # type: ignore[no-untyped-call]

    def change_state(self, key: Any, state: Any, info: Any = None, remove_running: bool = True) -> None:
        """What the scheduler is told of a task; its process has ended where it is not running any more."""
        if remove_running:
            self._due[key] -= 1
            if self._due[key] > 0:
                log.info("%s was sent again before its first process had ended", key)
                return
            del self._due[key]
        super().change_state(key, state, info, remove_running)


def run_workers(number: int, worker: Mapping[str, Any]) -> None:
    """Fork `number` workers from a process that has loaded what tasks need; return when they were told to end."""
    preload()
    wait_for_api()
    gc.freeze()  # what is loaded stays shared: no worker's collector writes to it
    workers = [_fork_worker(worker) for _ in range(number)]
    while workers:
        wait([process.sentinel for process in workers])
        ended = [process for process in workers if not process.is_alive()]
        workers = [process for process in workers if process not in ended]
        for process in ended:
            if process.exitcode:  # it died, with its task, which Airflow finds out by itself
                log.warning("Worker %s ended with code %s; forking another", process.pid, process.exitcode)
                workers.append(_fork_worker(worker))
            process.close()


def _fork_worker(worker: Mapping[str, Any]) -> Process:
    process = Process(target=_run_worker, kwargs=dict(worker))
    process.start()
    return process


def preload(*, kernels: bool = True) -> None:
    """Import the libraries of tasks, and load the kernels, or compile those that numba has not kept."""
    began = time.monotonic()
    for name in PRELOADED:
        import_module(name)
    if kernels:
        from abiss_py.compilation import load_kernels

        load_kernels()
    log.info("Loaded the libraries of tasks in %.1f s", time.monotonic() - began)


def wait_for_api() -> None:
    """Return once the API server takes connections: tasks that start earlier fail at once."""
    url = urlsplit(str(conf.get("core", "execution_api_server_url")))
    deadline = time.monotonic() + _API_SECONDS
    while True:
        try:
            socket.create_connection((url.hostname, url.port), timeout=1.0).close()
        except OSError:
            if time.monotonic() > deadline:
                log.warning("The API server at %s does not answer; tasks will wait for it", url.netloc)
                return
            time.sleep(0.1)
        else:
            return
