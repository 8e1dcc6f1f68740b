"""Airflow's LocalExecutor with warm workers, for the embedded deployment.

Workers are forks of the scheduler and tasks are forks of workers, so what the scheduler has loaded
before it forks costs its tasks nothing. A task of this project otherwise spends 3 seconds of
processor time on imports and on loading machine code, which is as long as many of them work.

Only what starts no thread may be loaded here, because a fork takes along the locks of threads but not the
threads: pyarrow and torch are left to the tasks that need them.
"""

from __future__ import annotations

import logging
import socket
import time
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.executors.local_executor import LocalExecutor

log = logging.getLogger(__name__)

#: Loaded before workers are forked; measured: 0.6, 0.3 and 1.5 s of processor time.
PRELOADED = ("abiss_py", "scipy.ndimage", "cloudvolume")

#: A first start on a busy machine imports the API server's modules while kernels are compiled.
_API_SECONDS = 120.0


class WarmLocalExecutor(LocalExecutor):
    """Loads what tasks need, waits for the API server, and only then forks its workers.

    A task that waits for a person gives its process back, and is sent again once it was answered. Where the
    answer comes in the same turn of the scheduler, the end of the first process is read after the second was
    sent, and Airflow takes it for the end of that one: it calls the task lost, and the answer with it. So an
    end counts only when it is the last that is due.
    """

    def start(self) -> None:
        """Called once by the scheduler, before it schedules anything."""
        self._due: Counter[Any] = Counter()
        preload()
        wait_for_api()
        super().start()

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


def preload(*, kernels: bool = True) -> None:
    """Import the libraries of tasks, and compile the kernels or load them from numba's cache."""
    began = time.monotonic()
    for name in PRELOADED:
        import_module(name)
    if kernels:
        _load_kernels()
    log.info("Loaded the libraries of tasks in %.1f s", time.monotonic() - began)


def _load_kernels() -> None:
    """Segment a few voxels of each affinity type: numba loads a function when it is first called.

    On a fresh cache this compiles them (15 s), once and in one process; workers would each compile
    them, at the same time. The affinities are random, and cut into chunks, because some functions are only
    called where basins are absorbed, or where there is a seam.
    """
    import numpy as np

    from abiss_py import segment

    noise = np.asfortranarray(np.random.default_rng(0).integers(0, 256, (12, 12, 12, 3), np.uint8))
    for affinities in (noise, np.asfortranarray(noise / np.float32(255))):
        segment(affinities, high=0.9, low=0.01, size=10, dust=2, threshold=0.2, chunk_size=(6, 6, 6))


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
