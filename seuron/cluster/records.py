"""What the manager of a cluster writes down: a folder with the policy's memory, what was spent, and what happened.

Each file is written whole or not at all, so a step that was killed leaves the ones of the step before it.
Only `events.jsonl` is written to its end; a line that was cut off is passed over.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from seuron.cluster.cluster_state import GroupState, PolicyMemory, QueueDepth, TasksEnded
from seuron.cluster.costs.ledger import Ledger
from seuron.cluster.groups import WorkerReport
from seuron.errors import ComputeError

Kept = TypeVar("Kept")

#: Lines of events that are kept at least; twice as many are cut to these.
EVENTS_KEPT = 5000


@dataclass(frozen=True)
class ClusterSnapshot:
    """What the last step saw, for `status`, and for the next one where a driver does not answer.

    `held` are queues that get nothing because the budget is used up, `problems` who did not answer.
    `ended` counts the tasks of the instances that live, `deleted` are those that the step removed. `ahead` is what
    each run with a budget of its own would still spend if it were held at the next step, in dollars.
    """

    time: float
    groups: tuple[GroupState, ...] = ()
    queues: Mapping[str, QueueDepth] = field(default_factory=dict)
    reports: Mapping[str, WorkerReport] = field(default_factory=dict)
    ended: Mapping[str, TasksEnded] = field(default_factory=dict)
    spent: float = 0.0
    budget: float | None = None
    held: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    ahead: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ClusterEvent:
    """What one step did and why, or what the deployment's supervisor saw. `lost` are instances that went unasked."""

    time: float
    reasons: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def happened(self) -> bool:
        return bool(self.reasons or self.deleted or self.lost or self.problems)

    @property
    def lines(self) -> tuple[str, ...]:
        """What was done, what went by itself, and who did not answer, a sentence each."""
        gone = (f"{name} is gone and was not asked to go" for name in self.lost)
        return (*self.reasons, *gone, *self.problems)


_MEMORY = TypeAdapter(PolicyMemory)
_LEDGER = TypeAdapter(Ledger)
_SNAPSHOT = TypeAdapter(ClusterSnapshot)
_EVENT = TypeAdapter(ClusterEvent)


class Records:
    """The files in a folder. Reading never fails for want of a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def lock(self, seconds: float) -> Iterator[None]:
        """Hold the folder for a block, so that two steps never run at once; the system lets go for a killed one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + seconds
        with (self.folder / "lock").open("a") as file:
            while not _locked(file.fileno()):
                if time.monotonic() > deadline:
                    raise ComputeError(f"another step has gone on for over {seconds:g} s in {self.folder}; see its log")
                time.sleep(0.05)
            yield

    def memory(self) -> PolicyMemory:
        return self._read("memory.json", _MEMORY) or PolicyMemory()

    def ledger(self) -> Ledger:
        return self._read("ledger.json", _LEDGER) or Ledger()

    def snapshot(self) -> ClusterSnapshot | None:
        """The last one; None where there was none."""
        return self._read("snapshot.json", _SNAPSHOT)

    def events(self) -> list[ClusterEvent]:
        """What happened, oldest first."""
        found = list[ClusterEvent]()
        for line in self._event_lines():
            with suppress(ValidationError):  # a line that was cut off, or is damaged
                found.append(_EVENT.validate_json(line))
        return found

    def write_memory(self, memory: PolicyMemory) -> None:
        self._write("memory.json", _MEMORY.dump_json(memory))

    def write_ledger(self, ledger: Ledger) -> None:
        self._write("ledger.json", _LEDGER.dump_json(ledger))

    def write_snapshot(self, snapshot: ClusterSnapshot) -> None:
        self._write("snapshot.json", _SNAPSHOT.dump_json(snapshot))

    def add(self, event: ClusterEvent) -> None:
        """Write down an event, on a line of its own also behind one that was cut off."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = self._event_lines()
        if len(lines) >= 2 * EVENTS_KEPT:
            self._write("events.jsonl", ("\n".join(lines[-EVENTS_KEPT:]) + "\n").encode())
        with (self.folder / "events.jsonl").open("a") as file:
            file.write(("\n" if lines and not lines[-1].endswith("}") else "") + json.dumps(asdict(event)) + "\n")

    def _event_lines(self) -> list[str]:
        path = self.folder / "events.jsonl"
        return path.read_text(errors="replace").splitlines() if path.exists() else []

    def _read(self, name: str, kind: TypeAdapter[Kept]) -> Kept | None:
        try:
            return kind.validate_json((self.folder / name).read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ComputeError(
                f"{self.folder / name} is not what a step writes; move it away to begin without what it holds"
            ) from error

    def _write(self, name: str, content: bytes) -> None:
        partial = self.folder / f"{name}.partial"
        partial.write_bytes(content)
        partial.replace(self.folder / name)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
