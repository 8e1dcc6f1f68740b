"""A look at a run's folder: which of its tasks are done, and which are at work.

The names of the records are enough: no record is read, so a look at 20,000 tasks takes some hundredths of
a second. Looks are kept for a moment, so that many open pages cost no more than one.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import cached_property

from seuron.engine.run import Run
from seuron.pages.sheets import Sheet, sheets_of
from seuron.storage import Storage, local_folder
from seuron.storage.digests import digest_of_bytes

#: Seconds for which a look at a folder on this machine, or in an object store, is good enough.
LOCAL_SECONDS, CLOUD_SECONDS = 1.0, 15.0
#: Runs whose plans are kept in memory.
RUNS_KEPT = 32


@dataclass(frozen=True)
class Look:
    """A run as it was at a moment: the ids of its finished tasks, and of those that have a claim.

    `version` changes when the run is started again with other parameters.
    """

    run: Run
    version: str
    done: frozenset[str]
    working: frozenset[str] = frozenset()

    @cached_property
    def sheets(self) -> dict[str, Sheet]:
        """The maps of the run's tiers by their names, in the plan's order."""
        return sheets_of(self.run.plan)


class Looks:
    """The last look at each run, for a moment, and the plans of the last runs."""

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._looks: dict[str, tuple[float, Look]] = {}

    def at(self, output: str) -> Look | None:
        """A look at the run in `output`; None where none has been prepared yet.

        Raises SeuronError when what lies there cannot be read as a run.
        """
        with self._lock:
            before = self._looks.get(output)
        if before is not None and time.monotonic() - before[0] < self._patience(output):
            return before[1]
        look = _look(output, before[1] if before else None)
        with self._lock:
            self._looks.pop(output, None)
            if look is not None:
                while len(self._looks) >= RUNS_KEPT:
                    del self._looks[next(iter(self._looks))]
                self._looks[output] = (time.monotonic(), look)
        return look

    def _patience(self, output: str) -> float:
        if self._seconds is not None:
            return self._seconds
        return CLOUD_SECONDS if local_folder(output) is None else LOCAL_SECONDS


def _look(output: str, before: Look | None) -> Look | None:
    """What is in the folder now; the run and its maps are those of the look before where run.json is the same."""
    storage = Storage(output)
    content = storage.get("run.json")
    if content is None:
        return None
    version = digest_of_bytes([content])
    same = before is not None and before.version == version
    run = before.run if same and before is not None else Run.open(output)
    look = Look(run, version, _tasks_named(run, "tasks"), _tasks_named(run, "working"))
    if same and before is not None:
        look.__dict__["sheets"] = before.sheets
    return look


def _tasks_named(run: Run, folder: str) -> frozenset[str]:
    """The tasks of the plan that have a file in a folder of the run."""
    names = (name.removeprefix(f"{folder}/").removesuffix(".json") for name in run.storage.names(f"{folder}/"))
    return frozenset(name for name in names if name in run.plan.tasks)
