"""What the server may show: folders and viewer states, one small file each below the state folder.

    STATE/roots/KEY.json     {"path": "/abs/folder"}: the files below it are served as /data/KEY/...
    STATE/states/KEY.json    the viewer state of a run, served as /state/KEY.json
    STATE/server.json        the server that runs now (see `background`)

The command that registers a run and the server that serves it are different processes; files are
all they share.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from seuron.errors import VolumeError
from seuron.storage import Storage

#: Stands for the server's own address in stored states.
HERE = "http://seuron-viewer.invalid"
#: What a key looks like; nothing else in a URL is ever used as a file name of the registry.
KEY = re.compile(r"[A-Za-z0-9_-]{1,80}")


def root_key(folder: Path) -> str:
    """A readable name for a folder that is the same each time, such as `demo-3f9a01bc`."""
    return address_key(str(folder.resolve()))


def address_key(address: str) -> str:
    """The same for any path or URL."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", address.rsplit("/", 1)[-1]).strip("-")[:40] or "folder"
    return f"{name}-{hashlib.sha256(address.encode()).hexdigest()[:8]}"


class Registry:
    """The folders and states of one state folder."""

    def __init__(self, state_folder: str | Path) -> None:
        self.folder = Path(state_folder).expanduser().resolve()
        self._storage = Storage(self.folder)

    def add_root(self, folder: Path) -> str:
        """Allow the files below `folder` to be read; returns its key. Adding it twice changes nothing."""
        if not folder.is_dir():
            raise VolumeError(f"cannot show {folder}: there is no such folder; give a run's or a layer's folder")
        key = root_key(folder)
        self._storage.put(f"roots/{key}.json", json.dumps({"path": str(folder.resolve())}).encode())
        return key

    def root(self, key: str) -> Path | None:
        """The folder that `key` stands for; None when it was never registered."""
        content = self._get(f"roots/{key}.json") if KEY.fullmatch(key) else None
        return Path(content["path"]) if content is not None else None

    def set_state(self, key: str, state: dict[str, Any]) -> None:
        self._storage.put(f"states/{key}.json", json.dumps(state, indent=1).encode())

    def state(self, key: str) -> dict[str, Any] | None:
        """The viewer state of a run; None when it has none."""
        return self._get(f"states/{key}.json") if KEY.fullmatch(key) else None

    def states(self) -> list[str]:
        """The keys of all runs that can be viewed, sorted."""
        return [name.removeprefix("states/").removesuffix(".json") for name in self._storage.names("states/")]

    def _get(self, name: str) -> dict[str, Any] | None:
        content = self._storage.get(name)
        if content is None:
            return None
        parsed: dict[str, Any] = json.loads(content)
        return parsed
