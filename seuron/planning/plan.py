"""The nouns of a plan.

A plan is a row of stages; a stage is a row of tiers; a tier is a set of tasks that do not depend
on each other. Every task of a tier may start when the tier before it has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from seuron.box import Box, Triple

Queue = Literal["cpu", "gpu", "memory", "manager"]

#: The stages of a segmentation, in order, and how many tiers each may have at most. Airflow draws
#: one row of nodes per tier, whatever the volume; tiers that a volume does not need are skipped.
MAX_TIERS: dict[str, int] = {
    "affinities": 1,
    "watershed": 5,
    "agglomeration": 5,
    "labels": 1,
    "pyramid": 4,
    "evaluation": 2,
    "report": 1,
}
STAGES: tuple[str, ...] = tuple(MAX_TIERS)


@dataclass(frozen=True)
class Task:
    """One unit of work: it can be run twice, anywhere, and leaves the same bytes.

    `box` is in voxels of the run's scale. `children` are the tasks whose results it merges.
    `seconds` and `memory_bytes` are estimates, from measured rates.
    """

    id: str
    stage: str
    tier: int
    index: Triple
    box: Box
    queue: Queue
    layer: str = ""
    children: tuple[str, ...] = ()
    seconds: float = 0.0
    memory_bytes: int = 0

    @property
    def label(self) -> str:
        """What a person reads in the grid of tasks: layer and place."""
        place = f"({', '.join(str(i) for i in self.index)})"
        return f"{self.layer} {place}" if self.layer else f"{self.stage} {self.tier} {place}"


def task_id(stage: str, tier: int, index: Triple, layer: str = "") -> str:
    """A name that is unique in a run and safe in file names, such as `watershed-0-0_1_0`."""
    place = "_".join(str(i) for i in index)
    return "-".join([stage, str(tier), *([layer] if layer else []), place])


@dataclass(frozen=True)
class Stage:
    """One step of the method, as tiers of independent tasks."""

    name: str
    tiers: tuple[tuple[Task, ...], ...]

    @property
    def tasks(self) -> tuple[Task, ...]:
        return tuple(task for tier in self.tiers for task in tier)


@dataclass(frozen=True)
class Plan:
    """All stages of a run, in order."""

    stages: tuple[Stage, ...]

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """Every task by its id, in an order in which they may run."""
        return {task.id: task for stage in self.stages for task in stage.tasks}

    def stage(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)

    def tiers(self) -> Iterator[tuple[Task, ...]]:
        """The tiers of all stages, in order, empty ones left out."""
        for stage in self.stages:
            yield from (tier for tier in stage.tiers if tier)

    def to_json(self) -> list[dict[str, Any]]:
        """The stages as plain data, for readers of plan.json."""
        return [asdict(stage) for stage in self.stages]
