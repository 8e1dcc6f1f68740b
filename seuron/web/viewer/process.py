"""The viewer's server as a process in the background: it is started once, and stopped again.

`STATE/server.json` says which process serves a state folder and where. It is trusted only while
that process answers for itself, so a crash, a reboot or a reused process id does no harm.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from seuron.errors import RunError
from seuron.storage import Storage
from seuron.storage.documents import read_if_whole
from seuron.storage.private_files import emptied, private_folder

HOST = "127.0.0.1"
#: Tried first, so that links stay good from one start to the next.
DEFAULT_PORT = 8750
RECORD = "server.json"
#: Seconds a start or a stop may take before it counts as failed; a start takes one or two on an idle machine.
TIMEOUT = 60.0


def ensure_server(state_folder: str | Path) -> str:
    """The URL of the server of `state_folder`, started in the background if it does not run.

    Called twice, also at the same time, it starts one. Raises RunError when it does not come up.
    """
    folder = _folder(state_folder)
    with _locked(folder):
        record = _running(folder)
        return str((record or _start(folder))["url"])


def running_server(state_folder: str | Path) -> str | None:
    """The URL of the server of `state_folder`; None when it does not run. Nothing is started or made."""
    folder = Path(state_folder).expanduser().resolve()
    record = _running(folder) if folder.is_dir() else None
    return None if record is None else str(record["url"])


def stop_server(state_folder: str | Path) -> bool:
    """Stop the server of `state_folder`; returns whether one was running."""
    folder = _folder(state_folder)
    with _locked(folder):
        record = _running(folder)
        if record is not None:
            os.kill(record["pid"], signal.SIGTERM)
            _wait(lambda: _running(folder) is None, f"the viewer's server (process {record['pid']}) does not stop")
        return record is not None


def record_server(state_folder: str | Path, record: Mapping[str, Any]) -> None:
    """Say which process serves `state_folder`: its `instance`, `pid`, `port` and `url`, as its /health gives them."""
    Storage(_folder(state_folder), private=True).put(RECORD, json.dumps(dict(record)).encode())


def _folder(state_folder: str | Path) -> Path:
    folder = Path(state_folder).expanduser().resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    return private_folder(folder)  # also one of an earlier version, or made by hand: it says what others may see


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One start or stop at a time; the lock goes with the process that holds it."""
    with emptied(folder / "server.lock") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _record(folder: Path) -> dict[str, Any] | None:
    record = read_if_whole(Storage(folder), RECORD, dict[str, Any])  # of a server that is then not found any more
    return record if record is not None and {"instance", "port", "pid", "url"} <= record.keys() else None


def _running(folder: Path) -> dict[str, Any] | None:
    """The recorded server, if it answers with the identity that was recorded."""
    record = _record(folder)
    if record is None:
        return None
    connection = HTTPConnection(HOST, record["port"], timeout=5)
    try:
        connection.request("GET", "/health")
        answer = json.loads(connection.getresponse().read())
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return record if isinstance(answer, dict) and answer.get("instance") == record["instance"] else None


def _start(folder: Path) -> dict[str, Any]:
    # The last port first: links in old reports and browser tabs stay good.
    last = _record(folder)
    port = last["port"] if last is not None else DEFAULT_PORT
    log = folder / "server.log"
    with emptied(log) as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "seuron.web.viewer", str(folder), str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # it outlives the command that started it
            env={**os.environ, "PYTHONPATH": _search_path()},
        )
    _wait(
        lambda: process.poll() is not None or _running(folder) is not None,
        f"the viewer's server does not answer; its output is in {log}",
    )
    record = _running(folder)
    if record is None:
        raise RunError(
            f"the viewer's server ended with code {process.poll()}: {log.read_text()[-2000:].strip() or 'no output'}"
        )
    process.returncode = 0  # left running on purpose: subprocess would warn of a child nobody waits for
    return record


def _search_path() -> str:
    """The started process finds the same seuron as this one, installed or not."""
    here = str(Path(__file__).resolve().parents[3])
    return os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])


def _wait(condition: Callable[[], bool], failure: str) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise RunError(f"{failure} ({TIMEOUT:.0f} s waited); look at the process or start again")
        time.sleep(0.05)
