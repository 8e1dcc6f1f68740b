"""Snapshots of a run's folder: which of its tasks are done, and which are running.

The names of the records are enough: no record is read, so a snapshot of 20,000 tasks takes some hundredths of
a second. Snapshots are cached for a moment, so that many open pages cost no more than one.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import cached_property

from seuron.engine.run import Run
from seuron.storage import Storage, local_folder
from seuron.storage.allowed_paths import check_path
from seuron.storage.digests import digest_of_bytes
from seuron.web.tier_grid import TierGrid, tier_grids

#: Seconds for which a snapshot of a folder on this machine, or in an object store, is cached.
LOCAL_SECONDS, CLOUD_SECONDS = 1.0, 15.0
#: Runs whose plans are kept in memory.
MAX_RUNS = 32


@dataclass(frozen=True)
class RunSnapshot:
    """A run as it was at a moment: the ids of its finished tasks, and of those that are locked by a process.

    `version` changes when the run is started again with other parameters.
    """

    run: Run
    version: str
    done: frozenset[str]
    running: frozenset[str] = frozenset()

    @cached_property
    def grids(self) -> dict[str, TierGrid]:
        """The grids of the run's tiers by their names, in the plan's order."""
        return tier_grids(self.run.plan)


class SnapshotCache:
    """The last snapshot of each run, for a moment, and the plans of the last runs.

    `seconds` is how long a snapshot is cached; by default that depends on where the folder is.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._snapshots: dict[str, tuple[float, RunSnapshot]] = {}

    def get(self, output: str) -> RunSnapshot | None:
        """A snapshot of the run in `output`; None where none has been prepared yet.

        Raises SeuronError when what lies there cannot be read as a run.
        """
        with self._lock:
            taken, cached = self._snapshots.get(output, (0.0, None))
        if cached is not None and time.monotonic() - taken < self._lifetime(output):
            return cached
        snapshot = _take_snapshot(output, cached)
        with self._lock:
            self._snapshots.pop(output, None)
            if snapshot is not None:
                while len(self._snapshots) >= MAX_RUNS:
                    del self._snapshots[next(iter(self._snapshots))]
                self._snapshots[output] = (time.monotonic(), snapshot)
        return snapshot

    def _lifetime(self, output: str) -> float:
        if self._seconds is not None:
            return self._seconds
        return CLOUD_SECONDS if local_folder(output) is None else LOCAL_SECONDS


def _take_snapshot(output: str, before: RunSnapshot | None) -> RunSnapshot | None:
    """What is in the folder now; the run and its grids are those of `before` where run.json is the same."""
    check_path(output, "output", "output")
    content = Storage(output).get("run.json")
    if content is None:
        return None
    version = digest_of_bytes([content])
    if before is None or before.version != version:
        before = None
    run = Run.open(output) if before is None else before.run
    snapshot = RunSnapshot(run, version, _tasks_named(run, "tasks"), _tasks_named(run, "locks"))
    if before is not None:
        snapshot.__dict__["grids"] = before.grids
    return snapshot


def _tasks_named(run: Run, folder: str) -> frozenset[str]:
    """The tasks of the plan that have a file in a folder of the run."""
    names = (name.removeprefix(f"{folder}/").removesuffix(".json") for name in run.storage.names(f"{folder}/"))
    return frozenset(name for name in names if run.plan.find(name) is not None)
