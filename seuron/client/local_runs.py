"""Runs that were made on this machine without Airflow, so that they go by their names as all others do."""

from __future__ import annotations

from pathlib import Path

from seuron.storage import Storage
from seuron.storage.digests import digest_of_data


class LocalRuns:
    """A folder with a file for each of them, which holds the run's output folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, output: str) -> None:
        """Remember a run, the one started last from now on."""
        self._folder.mkdir(parents=True, exist_ok=True)
        Storage(str(self._folder)).put(digest_of_data(output), output.encode())

    def outputs(self) -> list[str]:
        """The output folders in which there still is a run, the newest first."""
        if not self._folder.is_dir():
            return []
        storage = Storage(str(self._folder))
        names = sorted(storage.names(), key=lambda name: (self._folder / name).stat().st_mtime_ns, reverse=True)
        found = [(storage.get(name) or b"").decode() for name in names]
        return [output for output in found if output and Storage(output).get("run.json") is not None]
