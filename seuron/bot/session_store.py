"""Parameters that are kept for each user in each channel, so that nobody changes what another one set."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seuron.storage import Storage
from seuron.storage.documents import read_if_whole


class SessionStore:
    """What is kept for a user in a channel; in a folder it outlives the process.

    Several messages of one user may be answered at once. Each has a copy, and gives back what it changed.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._storage = None if folder is None else Storage(folder)
        self._kept: dict[tuple[str, str], dict[str, Any]] = {}
        self._lock = threading.Lock()

    def parameters(self, user: str, channel: str) -> dict[str, Any]:
        """A copy of what is kept; empty when nothing is."""
        with self._lock:
            return dict(self._of(user, channel))

    def change(self, user: str, channel: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Store what differs between a copy as it was and as it is; other changes that were made meanwhile stay."""
        changed = {name: value for name, value in after.items() if name not in before or before[name] != value}
        gone = before.keys() - after.keys()
        if not changed and not gone:
            return
        with self._lock:
            kept = {name: value for name, value in self._of(user, channel).items() if name not in gone} | changed
            self._kept[user, channel] = kept
            if self._storage is not None:
                self._storage.put(_file(user, channel), json.dumps(kept, indent=1).encode())

    def _of(self, user: str, channel: str) -> dict[str, Any]:
        if (user, channel) not in self._kept:
            file = _file(user, channel)
            kept = None if self._storage is None else read_if_whole(self._storage, file, dict[str, Any])
            self._kept[user, channel] = kept or {}
        return self._kept[user, channel]


def _file(user: str, channel: str) -> str:
    """A name that no user can choose."""
    return hashlib.sha256(json.dumps([user, channel]).encode()).hexdigest()[:32] + ".json"
