"""How far a run is, stage by stage, and how long it will go on; from the run's folder alone.

A stage's pace is the planned seconds of its finished tasks by the time since it began, so it holds for any
number of workers and any machine. Stages that have not begun are taken at the mean pace of those that have.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from seuron.engine.plan import Plan, StagePlan, Task
from seuron.engine.records import TaskRecord
from seuron.engine.run import Run

#: Records of a stage that are read to find out when it ran: a listing of 20,000 tasks must stay quick.
SAMPLED = 8
#: What starting a task takes beside its work, s: planned seconds of small tasks are next to nothing.
TASK_SECONDS = 0.3


@dataclass(frozen=True)
class StageProgress:
    """Tasks of a stage that are done, of all; `seconds_left` of wall time, None where nothing is known yet."""

    name: str
    done: int
    total: int
    seconds_left: float | None = None

    @property
    def complete(self) -> bool:
        return self.done == self.total


@dataclass(frozen=True)
class StageWork:
    """A stage as the forecast sees it: planned seconds, of all tasks and of those finished since the start of
    the run, and the wall time (s) in which those were finished.
    """

    planned: float
    finished: float
    made: float
    wall: float


def stage_progress(run: Run, *, since: float, now: float) -> tuple[StageProgress, ...]:
    """The stages of a run that have tasks, in order; what was finished before `since` says nothing of the pace.

    Times are seconds since 1970.
    """
    done = done_by_stage(run.plan, run.finished_ids())
    stages = [stage for stage in run.plan.stages if stage.tiers]
    work = [_work(run, stage, done.get(stage.name, ()), since, now) for stage in stages]
    left = seconds_left(work)
    return tuple(
        StageProgress(stage.name, len(done.get(stage.name, ())), len(stage.tasks), seconds)
        for stage, seconds in zip(stages, left, strict=True)
    )


def done_by_stage(plan: Plan, ids: Iterable[str]) -> dict[str, list[Task]]:
    """The tasks of these ids that the plan has, by stage; in the plan's order within each tier's index."""
    found: dict[str, list[Task]] = {}
    for task_id in ids:
        task = plan.find(task_id)
        if task is not None:
            found.setdefault(task.stage, []).append(task)
    for tasks in found.values():
        tasks.sort(key=lambda task: (task.tier, task.index[::-1]))
    return found


def seconds_left(stages: Sequence[StageWork]) -> list[float | None]:
    """Wall time that each stage still takes; None for all that is not done while no pace is known."""
    wall, made = sum(stage.wall for stage in stages if stage.made), sum(stage.made for stage in stages)
    mean = wall / made if made else None
    found: list[float | None] = []
    for stage in stages:
        left = max(0.0, stage.planned - stage.finished)
        pace = stage.wall / stage.made if stage.made else mean
        found.append(0.0 if not left else None if pace is None else left * pace)
    return found


def total_seconds_left(stages: Iterable[StageProgress]) -> float | None:
    """Wall time until the last stage is done, as stages follow each other; None where any of them is unknown."""
    found = [stage.seconds_left for stage in stages]
    known = [seconds for seconds in found if seconds is not None]
    return sum(known) if len(known) == len(found) else None


def _work(run: Run, stage: StagePlan, done: Sequence[Task], since: float, now: float) -> StageWork:
    complete = len(done) == len(stage.tasks)
    planned, finished = planned_seconds(stage), _planned(done)
    if complete:
        finished = planned  # to the last bit: nothing is left
    sample = [record for task in _spread(done) if (record := run.record(task.id)) is not None]
    new = [record for record in sample if record.started >= since]
    if not new:
        return StageWork(planned, finished, 0.0, 0.0)
    wall = _wall(new, now, complete=complete)
    return StageWork(planned, finished, finished * len(new) / len(sample), wall)


def planned_seconds(stage: StagePlan) -> float:
    """Seconds of a stage's tasks with what starting them takes."""
    return stage.seconds + len(stage.tasks) * TASK_SECONDS


def _planned(tasks: Sequence[Task]) -> float:
    return sum(task.seconds + TASK_SECONDS for task in tasks)


def _spread(tasks: Sequence[Task]) -> Sequence[Task]:
    """Some of them: the first, which most likely began first, the last, and between."""
    if len(tasks) <= SAMPLED:
        return tasks
    step = (len(tasks) - 1) / (SAMPLED - 1)
    return [tasks[round(index * step)] for index in range(SAMPLED)]


def _wall(records: Sequence[TaskRecord], now: float, *, complete: bool) -> float:
    end = max(record.ended for record in records) if complete else now
    return max(0.0, end - min(record.started for record in records))
