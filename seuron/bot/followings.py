"""What the bot follows, kept in files, so that a bot that is started again goes on with it.

    STATE/bot/following/DIGEST.json    a message of the bot's that is edited, and the run that it tells of
    STATE/bot/following/lock           held by the process that takes them up

A file is written when a command begins to follow a run, and removed once its end has been told.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydantic import TypeAdapter, ValidationError

from seuron.commands import Followed
from seuron.deployment.locks import try_lock
from seuron.storage import Storage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Following:
    """Who asked for a run to be followed, and where its end is told.

    `asked` is the message of `user`, `thread` the one that it is answered below, `message` the bot's own that is
    edited; all are time stamps of Slack's in `channel`. `deployment` is the address of another deployment than
    this machine's.
    """

    channel: str
    asked: str
    thread: str
    message: str
    user: str
    name: str
    run: Followed
    deployment: str = ""

    @property
    def file(self) -> str:
        """A name that no user can choose."""
        return hashlib.sha256(json.dumps([self.channel, self.asked]).encode()).hexdigest()[:32] + ".json"


_STORED = TypeAdapter(Following)


class Followings:
    """The files of a folder; without one nothing outlives the process. Threads may use it at once."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._storage = None if folder is None else Storage(folder)
        self._own: set[str] = set()
        self._lock = threading.Lock()
        self._held: IO[str] | None = None

    @property
    def kept(self) -> bool:
        """Whether what is followed outlives the process."""
        return self._storage is not None

    def keep(self, following: Following) -> None:
        """Write down what is followed, in place of what was for the same message."""
        with self._lock:
            self._own.add(following.file)
            if self._storage is not None:
                self._storage.put(following.file, _STORED.dump_json(following, indent=1))

    def drop(self, following: Following) -> None:
        """Forget it: its end has been told."""
        with self._lock:
            self._own.discard(following.file)
            if self._storage is not None:
                self._storage.delete([following.file])

    def take_up(self, deployment: str) -> list[Following] | None:
        """What another process has left of a deployment; None while that one is still there.

        Two bots of one state folder share Slack's messages between them, so the second one waits with this until
        the first is gone.
        """
        with self._lock:
            if self._storage is None or self.folder is None:
                return []
            if self._held is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._held = try_lock(self.folder / "lock")
            if self._held is None:
                return None
            names = [name for name in self._storage.names() if name.endswith(".json") and name not in self._own]
            found = [following for name in names if (following := self._read(self._storage, name)) is not None]
            mine = [following for following in found if following.deployment == deployment]
            self._own |= {following.file for following in mine}
            return mine

    def close(self) -> None:
        """Leave what is followed to the next bot."""
        with self._lock:
            if self._held is not None:
                self._held.close()
            self._held = None

    def _read(self, storage: Storage, name: str) -> Following | None:
        content = storage.get(name)
        try:
            return None if content is None else _STORED.validate_json(content)
        except ValidationError as error:
            log.warning("%s/%s does not say what was followed, and is left: %s", storage.path, name, error)
            return None
