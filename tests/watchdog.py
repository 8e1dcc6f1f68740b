"""Ends what a test run has started, and removes its folders, once the run is gone, however it ended.

Run as `python tests/watchdog.py FOLDER PROCESS...` in a session of its own, it goes on in the background. It waits
until one of these processes has ended, which a SIGKILL cannot prevent, then kills every process that has the folder's
name in its environment, and removes the folder. Airflow, PostgreSQL, Redis, workers and browsers inherit their
environment from the tests.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

#: Names the folder of this run of the tests. Services of a deployment inherit it, as they do not `AIRFLOW_*`.
VARIABLE = "TEST_RUN_FOLDER"
_GONE = (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess, OSError)


def watch_this_run() -> None:
    """Give this process and all that it starts a folder, and have both cleared away when it ends.

    Under `make` it is also ended when `make` is: whoever kills that wants no test to go on.
    """
    folder = tempfile.mkdtemp(prefix="seuron-tests-")
    Path(folder).chmod(0o755)  # as root, databases run as another user
    watched = [os.getpid(), *([os.getppid()] if "MAKELEVEL" in os.environ else [])]
    subprocess.run(
        [sys.executable, __file__, folder, *map(str, watched)],
        env={name: value for name, value in os.environ.items() if name != VARIABLE},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
        check=True,
    )
    os.environ[VARIABLE] = folder
    os.environ["SPT_NOENV"] = "1"  # programs that write their state over their name leave the environment readable


def run_folder() -> Path:
    """The folder of this test run: what lies there is removed when the run ends."""
    return Path(os.environ[VARIABLE])


def marked(folder: str) -> list[psutil.Process]:
    """The processes that were started by the run of this folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(*_GONE):
            if process.environ().get(VARIABLE) == folder:
                found.append(process)
    return found


def main() -> None:
    """Wait, kill, remove."""
    folder, processes = sys.argv[1], [int(word) for word in sys.argv[2:]]
    watched = select.poll()
    for process in processes:
        watched.register(os.pidfd_open(process), select.POLLIN)
    if os.fork():
        os._exit(0)
    watched.poll()  # one that has ended and that its parent has not asked after counts as ended
    with suppress(ProcessLookupError):
        os.kill(processes[0], signal.SIGKILL)
    # A process may fork between the look and the kill, so look again until none is left.
    while left := marked(folder):
        for process in left:
            with suppress(*_GONE):
                process.kill()
        psutil.wait_procs(left, timeout=5)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
