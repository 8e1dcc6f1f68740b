"""File locks that the system lets go of when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from seuron.errors import RunError
from seuron.storage.private_files import open_private


def try_lock(path: Path) -> IO[str] | None:
    """The locked file, which keeps the lock until it is closed; None when another has it.

    Raises OSError for a symbolic link.
    """
    file = os.fdopen(open_private(path, os.O_RDWR | os.O_APPEND), "a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock."""
    if not path.exists():
        return False
    file = try_lock(path)
    if file is None:
        return True
    file.close()
    return False


@contextmanager
def held(path: Path, seconds: float | None) -> Iterator[None]:
    """Hold the lock for a block; raises RunError when another holds it for too long, never without `seconds`."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while (file := try_lock(path)) is None:
        if deadline is not None and time.monotonic() > deadline:
            raise RunError(f"{path} is held by another process for over {seconds:g} s; is a start still going on?")
        time.sleep(0.05)
    try:
        yield
    finally:
        file.close()
