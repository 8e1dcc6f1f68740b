"""The runs that the bot follows, kept in files, so that a bot that is started again continues with them.

    STATE/bot/subscriptions/DIGEST.json    a message of the bot's that is edited, and the run that it is about
    STATE/bot/subscriptions/lock           held by the process that adopts them

A file is written when a command begins to follow a run, and removed once the end of the run has been answered.
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

from seuron.commands import FollowedRun
from seuron.deployment.locks import try_lock
from seuron.errors import StorageError
from seuron.storage import Storage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subscription:
    """Who asked for a run to be followed, and where the answer goes.

    `asked` is the message of `user`, `thread` the one below which it is answered, `message` the bot's own that is
    edited; all are Slack's time stamps in `channel`. `deployment` is the address of another deployment than
    this machine's.
    """

    channel: str
    asked: str
    thread: str
    message: str
    user: str
    name: str
    run: FollowedRun
    deployment: str = ""

    @property
    def file(self) -> str:
        """A name that no user can choose."""
        return hashlib.sha256(json.dumps([self.channel, self.asked]).encode()).hexdigest()[:32] + ".json"


_STORED = TypeAdapter(Subscription)


class Subscriptions:
    """The files of a folder; without one nothing outlives the process. Safe for several threads."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._storage = None if folder is None else Storage(folder)
        self._own: set[str] = set()
        self._lock = threading.Lock()
        self._held: IO[str] | None = None

    @property
    def kept(self) -> bool:
        """Whether subscriptions outlive the process."""
        return self._storage is not None

    def keep(self, subscription: Subscription) -> None:
        """Store a subscription, in place of another one of the same message."""
        with self._lock:
            self._own.add(subscription.file)
            if self._storage is not None:
                self._storage.put(subscription.file, _STORED.dump_json(subscription, indent=1))

    def drop(self, subscription: Subscription) -> None:
        """Remove it: the end of its run has been answered."""
        with self._lock:
            self._own.discard(subscription.file)
            if self._storage is not None:
                self._storage.delete([subscription.file])

    def adopt(self, deployment: str) -> list[Subscription] | None:
        """The subscriptions that another process has left for a deployment; None while that process is still there.

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
            found = [subscription for name in names if (subscription := self._read(self._storage, name)) is not None]
            mine = [subscription for subscription in found if subscription.deployment == deployment]
            self._own |= {subscription.file for subscription in mine}
            return mine

    def close(self) -> None:
        """Leave the subscriptions to the next bot."""
        with self._lock:
            if self._held is not None:
                self._held.close()
            self._held = None

    def _read(self, storage: Storage, name: str) -> Subscription | None:
        try:
            content = storage.get(name)
            return None if content is None else _STORED.validate_json(content)
        except (ValidationError, StorageError) as error:
            log.warning("%s/%s is no subscription, and is left: %s", storage.path, name, error)
            return None
