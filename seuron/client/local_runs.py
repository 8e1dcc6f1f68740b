"""Runs that were made on this machine without Airflow, so that they go by their names as all others do."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from seuron.errors import SeuronError
from seuron.storage import Storage
from seuron.storage.digests import digest_of_data
from seuron.storage.documents import read_if_whole


@dataclass(frozen=True)
class LocalRun:
    """The output folder of a run, and the name of its pipeline."""

    output: str
    pipeline: str


class LocalRuns:
    """A folder with a file for each of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, run: LocalRun) -> None:
        """Remember a run, the one started last from now on."""
        self._folder.mkdir(parents=True, exist_ok=True)
        Storage(self._folder).put(digest_of_data(run.output), json.dumps(asdict(run)).encode())

    def known(self) -> list[LocalRun]:
        """Those whose folders still hold a run, the newest first. None is opened: a damaged one hides no other."""
        if not self._folder.is_dir():
            return []
        storage = Storage(self._folder)
        names = sorted(storage.names(), key=lambda name: (self._folder / name).stat().st_mtime_ns, reverse=True)
        found = (read_if_whole(storage, name, LocalRun) for name in names)
        return [run for run in found if run is not None and _is_there(run.output)]


def _is_there(output: str) -> bool:
    try:
        return Storage(output).get("run.json") is not None
    except SeuronError:  # its place is a file now, or is not reached
        return False
