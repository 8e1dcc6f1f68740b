"""A start, step by step: which step it is on, whether that still advances, and why it does not.

A busy machine makes every step slow, so no step has a time that it must be done in. It has to advance, though:
something that it waits for changes, a log of it grows, or its processes use the processor. And its processes may use
only so much processor time, which does not depend on what else the machine does: a service that loops
without end ends the wait as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from seuron.deployment.processes import marked_processes
from seuron.errors import RunError

#: A step that does nothing at all for so long, s, is stuck. A process that waits its turn on a busy machine, or on a
#: slow disk, still gets a little of the processor in that time.
STALLED_SECONDS = 120.0
#: Processor time, s, of the processes of one step. The longest, compiling, takes 50, and 170 where hardware threads
#: share their core; Airflow's services take 10 each until they answer.
MOST_CPU_SECONDS = 600.0
#: The last step, in which the services are waited for one by one.
STARTING_AIRFLOW = "starting Airflow"
#: Less processor time than this, s, is no sign of life.
_LEAST_CPU_SECONDS = 0.02


class StalledError(RunError):
    """A step does not advance."""


@dataclass(frozen=True)
class Step:
    """What the supervisor does now: its name, and the services that do it, whose logs say how far they are."""

    name: str
    services: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "services": list(self.services)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any] | None) -> Step:
        """What `to_json` made; a supervisor that has said nothing yet is starting itself."""
        if not found:
            return cls("starting the supervisor", ("supervisor",))
        return cls(str(found["name"]), tuple(map(str, found["services"])))


@dataclass(frozen=True)
class StepStatus:
    """How far a step is: what is not ready and how, bytes of its logs, its processor time in s."""

    step: Step
    unready: Mapping[str, str]
    log_bytes: int
    cpu_seconds: float


class StepWatch:
    """Compares the status of a start with that before, and raises StalledError once nothing advances, or too much
    processor time was used without an end.
    """

    def __init__(
        self,
        *,
        stalled_seconds: float = STALLED_SECONDS,
        most_cpu_seconds: float = MOST_CPU_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stalled_seconds, self._most_cpu_seconds, self._clock = stalled_seconds, most_cpu_seconds, clock
        self._last: StepStatus | None = None
        self._moved, self._begun_at_cpu = 0.0, 0.0

    def check(self, status: StepStatus) -> None:
        """Compare with the status before; raises StalledError."""
        last, self._last = self._last, status
        now = self._clock()
        if last is None or status.step != last.step or status.unready != last.unready:
            self._moved, self._begun_at_cpu = now, status.cpu_seconds
        elif status.log_bytes != last.log_bytes or status.cpu_seconds - last.cpu_seconds >= _LEAST_CPU_SECONDS:
            self._moved = now
        else:
            self._last = last  # less than the least adds up
        if now - self._moved > self._stalled_seconds:
            raise StalledError(
                f"{status.step.name}: for {now - self._moved:.0f} s its processes have used no processor time, "
                "and their logs have not grown"
            )
        if status.cpu_seconds - self._begun_at_cpu > self._most_cpu_seconds:
            raise StalledError(
                f"{status.step.name}: its processes have used {status.cpu_seconds - self._begun_at_cpu:.0f} s of "
                "processor time and it is still not done"
            )


@dataclass
class CpuMeter:
    """Adds up the processor time of a deployment's services, also of processes that have ended meanwhile."""

    folder: Path
    _seen: dict[tuple[int, float], float] = field(default_factory=dict)
    _total: float = 0.0

    def read(self, services: Iterable[str]) -> float:
        """Seconds, since the first reading, of the processes of these services."""
        for service in services:
            for process in marked_processes(self.folder, service):
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    used, key = times.user + times.system, (process.pid, process.create_time())
                    self._total += used - self._seen.get(key, 0.0)
                    self._seen[key] = used
        return self._total


def log_bytes(folder: Path, services: Iterable[str]) -> int:
    """The bytes of the services' logs together."""
    paths = [folder / f"{service}.log" for service in services]
    return sum(path.stat().st_size for path in paths if path.exists())


def log_tail(folder: Path, service: str, lines: int = 15) -> str:
    """The last lines of a service's log."""
    path = folder / f"{service}.log"
    text = path.read_text(errors="replace") if path.exists() else ""
    return "\n".join(text.splitlines()[-lines:])


def log_tails(folder: Path, services: Sequence[str], lines: int = 15) -> str:
    """The ends of the logs of several services, each under its name."""
    tails = {service: log_tail(folder, service, lines) for service in services}
    return "\n".join(f"{service}.log ends:\n{tail}" for service, tail in tails.items() if tail)
