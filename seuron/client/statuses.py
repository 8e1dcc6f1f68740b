"""How a run is, as plain values that every front end tells in the same words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from seuron.client.naming import short_name
from seuron.engine.progress import StageProgress, total_seconds_left
from seuron.engine.states import RunState

__all__ = ["RunStatus", "StageProgress"]


@dataclass(frozen=True)
class RunStatus:
    """A look at a run. Times are seconds since 1970; `id` is Airflow's, empty for a run without it.

    `running` and `retrying` count tasks at work and tasks that wait for another try. `dollars` is what the
    run has cost on a cluster, `budget` what it may cost (None: no limit of its own), `alert` which budget holds it and
    what to do. `stop` is who ended it and why, `page` where Airflow shows it.
    """

    id: str
    dag: str
    output: str
    state: RunState
    asked: float | None = None
    started: float | None = None
    ended: float | None = None
    stages: Sequence[StageProgress] = ()
    running: int = 0
    retrying: int = 0
    dollars: float | None = None
    budget: float | None = None
    alert: str = ""
    stop: str = ""
    page: str = ""

    @property
    def name(self) -> str:
        """What people call the run."""
        return short_name(self.output, self.id)

    @property
    def at_work(self) -> bool:
        """Whether Airflow has not ended this start of the run."""
        return self.ended is None and not self.state.finished

    @property
    def done(self) -> int:
        return sum(stage.done for stage in self.stages)

    @property
    def total(self) -> int:
        return sum(stage.total for stage in self.stages)

    @property
    def stage(self) -> str:
        """The stage that is not complete yet; empty when all are, or none is known."""
        return next((stage.name for stage in self.stages if not stage.complete), "")

    @property
    def seconds_left(self) -> float | None:
        """Wall time until the end at the pace so far; None where it is not known."""
        return total_seconds_left(self.stages) if self.stages and self.at_work else None

    @property
    def sentence(self) -> str:
        """The run in one line, such as `first: running, watershed, 5 of 16 tasks, about 2 min 10 s left`."""
        from seuron.reporting.quantities import duration

        words = [str(self.state)]
        if self.at_work and self.stages:
            words += [self.stage, f"{self.done} of {self.total} tasks"]
            left = self.seconds_left
            words += [f"about {duration(left)} left"] if left is not None else []
        elif self.started is not None and self.ended is not None:
            words.append(f"after {duration(self.ended - self.started)}")
        words.append(f"${self.money}" if self.money else "")
        return f"{self.name}: " + ", ".join(word for word in words if word) + (f" ({self.stop})" if self.stop else "")

    @property
    def money(self) -> str:
        """Dollars so far, and of how many; empty where no cluster has worked for the run and it has no budget."""
        if self.dollars is None and self.budget is None:
            return ""
        return f"{self.dollars or 0.0:.2f}" + (f" of {self.budget:.2f}" if self.budget is not None else "")

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data, the derived figures included."""
        derived = {
            "name": self.name,
            "stage": self.stage,
            "done": self.done,
            "total": self.total,
            "seconds_left": self.seconds_left,
        }
        return {**asdict(self), **derived}
