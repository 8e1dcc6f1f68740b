"""Deduplication: the first notice of a cause is sent, repeats within a window are counted, the next one has the count.

What was sent lies in files, as notices come from many processes; each machine deduplicates for itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from seuron.deployment.locks import held
from seuron.storage import Storage
from seuron.storage.documents import read_if_whole

#: Seconds to wait for another process that checks the same cause.
_PATIENCE = 10.0


@dataclass(frozen=True)
class Deduplicator:
    """`window` in seconds; with 0 every notice is sent."""

    folder: Path
    window: float

    def due(self, key: str, now: float) -> int | None:
        """How many were held back before this one, which is to be sent; None when it is held back as well."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with held(self._file(key, ".lock"), _PATIENCE):
            last, count = self._read(key)
            if last is not None and 0 <= now - last < self.window:
                self._write(key, last, count + 1)
                return None
            self._write(key, now, 0)
            return count

    def failed(self, key: str, repeats: int) -> None:
        """Sending it failed: the next one is sent, and counts this one too."""
        with held(self._file(key, ".lock"), _PATIENCE):
            _, count = self._read(key)
            self._write(key, None, count + repeats + 1)

    def _read(self, key: str) -> tuple[float | None, int]:
        return read_if_whole(Storage(self.folder), f"{key}.json", tuple[float | None, int]) or (None, 0)

    def _write(self, key: str, last: float | None, count: int) -> None:
        Storage(self.folder, private=True).put(f"{key}.json", json.dumps([last, count]).encode())

    def _file(self, key: str, suffix: str) -> Path:
        return self.folder / f"{key}{suffix}"
