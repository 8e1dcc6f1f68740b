"""Locks that die with their holder."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from seuron.deployment.locks import held, is_locked, try_lock
from seuron.errors import RunError

HOLDER = """
import sys, time
from pathlib import Path
from seuron.deployment.locks import try_lock
lock = try_lock(Path(sys.argv[1]))
print("locked", flush=True)
time.sleep(60)
"""


def test_a_killed_holder_lets_go(tmp_path: Path) -> None:
    """A SIGKILL of the supervisor must not leave a lock that blocks the next start."""
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        assert is_locked(path)
        assert try_lock(path) is None
        holder.send_signal(signal.SIGKILL)
    assert not is_locked(path)


def test_looking_does_not_lock(tmp_path: Path) -> None:
    """`is_locked` lets go at once, and makes no file."""
    path = tmp_path / "lock"
    assert not is_locked(path)
    assert not path.exists()
    with held(path, 1.0):
        assert is_locked(path)
    assert not is_locked(path)


def test_waiting_has_an_end(tmp_path: Path) -> None:
    """A start that waits for another one gives up with a reason."""
    path = tmp_path / "lock"
    with held(path, 1.0), pytest.raises(RunError, match="held by another process"), held(path, 0.1):
        pass
