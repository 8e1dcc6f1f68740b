"""How far a run is, counted by its plan: tasks, and chunks where a stage goes by them.

How long it will still take is said by `seuron.engine.progress`, as on the command line.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from seuron.box import Box, Triple
from seuron.engine.plan import NAMING, Task
from seuron.engine.progress import TASK_SECONDS
from seuron.pages.look import Look


@dataclass(frozen=True)
class StageProgress:
    """How far a stage is. `chunks` are those of its leaves, none in stages that do not go by chunks.

    `seconds` are planned ones: those of all its tasks, and of the finished ones.
    """

    name: str
    tasks: int
    done: int
    working: int
    failed: int
    chunks: int
    chunks_done: int
    seconds: float
    seconds_done: float
    sheets: tuple[str, ...]

    @property
    def finished(self) -> bool:
        return self.done == self.tasks


@dataclass(frozen=True)
class RunProgress:
    """The stages that the run has tasks in, in order."""

    stages: tuple[StageProgress, ...]

    @property
    def tasks(self) -> int:
        return sum(stage.tasks for stage in self.stages)

    @property
    def done(self) -> int:
        return sum(stage.done for stage in self.stages)

    @property
    def current(self) -> StageProgress | None:
        """The first stage that is not finished; None where all are."""
        return next((stage for stage in self.stages if not stage.finished), None)

    @property
    def share(self) -> float:
        """The part of the planned work that is done, 0 to 1."""
        planned = sum(stage.seconds for stage in self.stages)
        return sum(stage.seconds_done for stage in self.stages) / planned if planned else 1.0


def progress_of(look: Look, failed: Collection[str] = ()) -> RunProgress:
    """The progress of a run; `failed` are the ids of tasks that Airflow knows to have failed."""
    stages = (stage for stage in look.run.plan.stages if stage.tasks)
    return RunProgress(tuple(_stage(look, stage.name, stage.tasks, failed) for stage in stages))


def _stage(look: Look, name: str, tasks: tuple[Task, ...], failed: Collection[str]) -> StageProgress:
    done = [task for task in tasks if task.id in look.done]
    left = [task for task in tasks if task.id not in look.done]
    leaves = [task for task in tasks if task.tier == 0] if name in NAMING else []
    chunks = {task.id: chunks_in(task.box, look.run.params.chunk_size, look) for task in leaves}
    return StageProgress(
        name=name,
        tasks=len(tasks),
        done=len(done),
        working=sum(task.id in look.working and task.id not in failed for task in left),
        failed=sum(task.id in failed for task in left),
        chunks=sum(chunks.values()),
        chunks_done=sum(number for task_id, number in chunks.items() if task_id in look.done),
        seconds=_planned(tasks),
        seconds_done=_planned(done),
        sheets=tuple(sheet.name for sheet in look.sheets.values() if sheet.stage == name),
    )


def chunks_in(box: Box, chunk: Triple, look: Look) -> int:
    """How many chunks of the run's grid a leaf's box is made of."""
    origin = look.run.facts.id_frame.minimum
    sides = zip(box.minimum, box.maximum, origin, chunk, strict=True)
    return math.prod(-((o - high) // c) - (low - o) // c for low, high, o, c in sides)


def _planned(tasks: Collection[Task]) -> float:
    return sum(task.seconds + TASK_SECONDS for task in tasks)
