"""Locks: files that say which process works on something, so that others keep away meanwhile.

Two processes that each write their lock first and look for the other's lock second cannot both
miss each other. That is all the locking that works alike on file systems and in object stores.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from seuron.storage import Storage
from seuron.storage.documents import read_if_whole

#: A process that began later than this after its lock is another one with the same number.
_CLOCK_SECONDS = 2.0


@dataclass(frozen=True)
class TaskLock:
    """Who holds it: `what` for people, `key` for checks, and the process."""

    what: str
    key: str = ""
    host: str = field(default_factory=socket.gethostname)
    process: int = field(default_factory=os.getpid)
    began: float = field(default_factory=time.time)

    @property
    def holds(self) -> bool:
        """Whether its process may still be running. Of another host's nothing is known, so its locks hold."""
        import psutil

        if self.host != socket.gethostname():
            return True
        try:
            return bool(psutil.Process(self.process).create_time() <= self.began + _CLOCK_SECONDS)
        except psutil.NoSuchProcess:
            return False

    def __str__(self) -> str:
        return f"{self.what} (process {self.process} on {self.host})"


@contextmanager
def locked(storage: Storage, name: str, lock: TaskLock) -> Iterator[None]:
    """Hold a lock, as the file `name`, while the block runs."""
    passing = Storage(storage.path, durable=False)  # no process that holds a lock survives a power cut
    passing.put(name, json.dumps(asdict(lock)).encode())
    try:
        yield
    finally:
        storage.delete([name])


def locks(storage: Storage, folder: str) -> Iterator[tuple[str, TaskLock]]:
    """The locks in a folder that still hold, with the names of their files."""
    for name in storage.names(folder):
        if (lock := read_lock(storage, name)) is not None:
            yield name, lock


def read_lock(storage: Storage, name: str) -> TaskLock | None:
    """The lock in the file `name`, if it still holds; a damaged one says of no process that it does."""
    lock = read_if_whole(storage, name, TaskLock)
    return lock if lock is not None and lock.holds else None
