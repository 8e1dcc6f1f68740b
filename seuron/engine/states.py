"""What state a run is in: one vocabulary for every front end, the notes at runs in Airflow, and the run's folder.

Airflow knows only `failed` for a run that a person ended. So who ends one writes that down first, as a note at
the run in Airflow and as a file in its folder, and sets the state after it:

    OUTPUT/stopped/ID.json    who stopped the start of the run that Airflow calls ID, when, and why

A start is *cancelled* when its work is not wanted any more, and *paused* when it is to go on later.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal

from seuron.storage import Storage
from seuron.storage.documents import read_document

#: The folder of the stops in a run's folder.
FOLDER = "stopped/"
#: Clocks of the machine that stops a run and of Airflow's may differ by so much, in seconds.
CLOCK_SECONDS = 60.0

#: What to do about a stop that is damaged.
_REMEDY = "delete it: that this start was stopped, and why, is then known to Airflow only"

Kind = Literal["cancelled", "paused"]
_NOTE = re.compile(r"(cancelled|paused) by (.*?) at (\d{4}-\d\d-\d\dT[\d:.]+\+00:00): (.*)", re.DOTALL)


class RunState(StrEnum):
    """The states of a run; `held` and `inspecting` wait for somebody."""

    WAITING = "waiting"
    RUNNING = "running"
    HELD = "held"
    INSPECTING = "inspecting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """Whether the run has ended for good, unless somebody starts it again."""
        return self in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


#: What each state means, for help and documentation.
MEANINGS: dict[RunState, str] = {
    RunState.WAITING: "asked for, or prepared, and nothing of it runs yet",
    RunState.RUNNING: "its tasks run, or are about to",
    RunState.HELD: "goes on when its budget is raised or, where a person paused it, when somebody continues it",
    RunState.INSPECTING: "waits until a person has looked at a stage",
    RunState.SUCCEEDED: "complete",
    RunState.FAILED: "ended by an error; started again it goes on where it was",
    RunState.CANCELLED: "ended by a person; started again it goes on where it was",
}


@dataclass(frozen=True)
class Stop:
    """Who ended a start of a run, when (seconds since 1970) and why."""

    run_id: str
    kind: Kind
    who: str
    when: float
    why: str

    @property
    def note(self) -> str:
        """The words that stand at the run in Airflow."""
        return f"{self.kind} by {self.who} at {_text(self.when)}: {self.why or 'no reason given'}"

    @classmethod
    def of_note(cls, run_id: str, note: str) -> Stop | None:
        """The stop that a note is about; None for a note of another kind."""
        found = _NOTE.match(note)
        if found is None:
            return None
        kind, who, when, why = found.groups()
        return cls(run_id, "paused" if kind == "paused" else "cancelled", who, _seconds(when), why)

    @property
    def sentence(self) -> str:
        """The same for people."""
        reason = f": {self.why}" if self.why else ""
        return f"{self.kind} by {self.who} on {datetime.fromtimestamp(self.when, UTC):%Y-%m-%d %H:%M UTC}{reason}"


def write_stop(storage: Storage, stop: Stop) -> bool:
    """Write a stop into a run's folder; False where no run is there yet: such a folder must stay empty."""
    if storage.get("run.json") is None:
        return False
    storage.put(_file(stop.run_id), json.dumps(asdict(stop), indent=1).encode())
    return True


def read_stop(storage: Storage, run_id: str) -> Stop | None:
    """Who stopped a start of the run in a folder; None when nobody did."""
    return read_document(storage, _file(run_id), Stop, _REMEDY)


def read_stops(storage: Storage) -> list[Stop]:
    """All stops of the run in a folder, the oldest first."""
    found = (read_document(storage, name, Stop, _REMEDY) for name in storage.names(FOLDER))
    return sorted((stop for stop in found if stop is not None), key=lambda stop: stop.when)


def state_in_airflow(
    airflow: str, stop: Stop | None, *, started: float | None = None, held: bool = False, inspecting: bool = False
) -> RunState:
    """The state of one start of a run, by Airflow's word for it and what else is known.

    A stop counts when Airflow says failed, and only for the start that it ended (`started`, seconds since
    1970): a start that was cleared and began again can fail by itself. `held` says that the budget is used up
    and nothing works; `inspecting` that a person is waited for.
    """
    if airflow == "success":
        return RunState.SUCCEEDED
    if airflow == "failed":
        if stop is None or (started is not None and stop.when < started - CLOCK_SECONDS):
            return RunState.FAILED
        return RunState.CANCELLED if stop.kind == "cancelled" else RunState.HELD
    if airflow == "queued":
        return RunState.WAITING
    if inspecting:
        return RunState.INSPECTING
    return RunState.HELD if held else RunState.RUNNING


def state_in_folder(*, complete: bool, at_work: bool, prepared: float, stops: Sequence[Stop]) -> RunState:
    """The state of a run of which only its folder is known, prepared at a time (seconds since 1970).

    One that is not complete, that nobody runs and nobody stopped since it was prepared, waits.
    """
    if complete:
        return RunState.SUCCEEDED
    if at_work:
        return RunState.RUNNING
    last = stops[-1] if stops else None
    if last is None or last.when < prepared:
        return RunState.WAITING
    return RunState.CANCELLED if last.kind == "cancelled" else RunState.HELD


def _file(run_id: str) -> str:
    """Airflow's run ids hold colons and signs that not every store likes in names."""
    return f"{FOLDER}{re.sub(r'[^A-Za-z0-9_.-]', '_', run_id)}.json"


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
