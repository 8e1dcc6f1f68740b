"""What the server may show: runs, and places in them, a small file each below the state folder.

    STATE/views/KEY.json     the run's folder, and the place to open it at, if any
    STATE/server.json        the server that is running (see `process`)

The command that registers a run and the server that serves it are different processes; files are
all they share.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from seuron.storage import Storage
from seuron.storage.documents import read_if_whole
from seuron.web.focus import Focus

#: What a key looks like; nothing else in a URL is ever used as a file name of the registry.
KEY = re.compile(r"[A-Za-z0-9_-]{1,120}")


@dataclass(frozen=True)
class RunView:
    """A run by its output folder, and the place to open it at; without one, the whole of its box."""

    output: str
    focus: Focus | None = None

    @property
    def key(self) -> str:
        """A readable name that is the same each time, such as `demo-3f9a01bc` or `demo-3f9a01bc-at-100_40_50`."""
        name = re.sub(r"[^A-Za-z0-9]+", "-", self.output.rsplit("/", 1)[-1]).strip("-")[:40] or "run"
        key = f"{name}-{hashlib.sha256(self.output.encode()).hexdigest()[:8]}"
        return key if self.focus is None else f"{key}-at-{'_'.join(str(v) for v in self.focus.voxel)}"


class ViewRegistry:
    """The views of one state folder."""

    def __init__(self, state_folder: str | Path) -> None:
        self._storage = Storage(Path(state_folder).expanduser().resolve(), private=True)

    def add(self, view: RunView) -> str:
        """Let the run of a view be read; returns its key. Adding it twice changes nothing."""
        self._storage.put(f"views/{view.key}.json", json.dumps(asdict(view)).encode())
        return view.key

    def get(self, key: str) -> RunView | None:
        """The view that `key` stands for; None when it was never registered, or its file is damaged."""
        return read_if_whole(self._storage, f"views/{key}.json", RunView) if KEY.fullmatch(key) else None

    def keys(self) -> list[str]:
        """The keys of all views, sorted."""
        return sorted(name.removeprefix("views/").removesuffix(".json") for name in self._storage.names("views/"))
