"""How far a run is, counted by its plan: tasks, and chunks where a stage goes by them.

How long it will still take is said by `seuron.engine.progress`, as on the command line.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from seuron.engine.plan import StagePlan, Task
from seuron.engine.progress import TASK_SECONDS, done_by_stage, planned_seconds
from seuron.web.snapshot import RunSnapshot


@dataclass(frozen=True)
class StageCounts:
    """Counts of one stage. `chunks` are those of its leaves, none in stages that do not go by chunks.

    `seconds` are planned ones: those of all its tasks, and of the finished ones. `grids` names its maps.
    """

    name: str
    tasks: int
    done: int
    running: int
    failed: int
    chunks: int
    chunks_done: int
    seconds: float
    seconds_done: float
    grids: tuple[str, ...]

    @property
    def finished(self) -> bool:
        return self.done == self.tasks


@dataclass(frozen=True)
class RunCounts:
    """The stages that the run has tasks in, in order."""

    stages: tuple[StageCounts, ...]

    @property
    def tasks(self) -> int:
        return sum(stage.tasks for stage in self.stages)

    @property
    def done(self) -> int:
        return sum(stage.done for stage in self.stages)

    @property
    def current(self) -> StageCounts | None:
        """The first stage that is not finished; None where all are."""
        return next((stage for stage in self.stages if not stage.finished), None)

    @property
    def share(self) -> float:
        """The part of the planned work that is done, 0 to 1."""
        planned = sum(stage.seconds for stage in self.stages)
        return sum(stage.seconds_done for stage in self.stages) / planned if planned else 1.0


def count_run(snapshot: RunSnapshot, failed: Collection[str] = ()) -> RunCounts:
    """The counts of a run; `failed` are the ids of tasks that Airflow knows to have failed."""
    plan = snapshot.run.plan
    done, running = done_by_stage(plan, snapshot.done), done_by_stage(plan, snapshot.running - snapshot.done)
    lost = done_by_stage(plan, set(failed) - snapshot.done)
    return RunCounts(
        tuple(
            _count_stage(
                snapshot, stage, done.get(stage.name, []), running.get(stage.name, []), lost.get(stage.name, [])
            )
            for stage in plan.stages
            if stage.tiers
        )
    )


def _count_stage(
    snapshot: RunSnapshot, stage: StagePlan, done: list[Task], running: list[Task], failed: list[Task]
) -> StageCounts:
    run, lost = snapshot.run, {task.id for task in failed}
    chunks_of = run.pipeline.chunks
    finished = len(done) == len(stage.tasks)
    planned = planned_seconds(stage)
    return StageCounts(
        name=stage.name,
        tasks=len(stage.tasks),
        done=len(done),
        running=sum(task.id not in lost for task in running),
        failed=len(failed),
        chunks=sum(chunks_of(run, task) * count for tier in stage.tiers for task, count in tier.kinds()),
        chunks_done=sum(chunks_of(run, task) for task in done),
        seconds=planned,
        seconds_done=planned if finished else sum(task.seconds + TASK_SECONDS for task in done),
        grids=tuple(grid.name for grid in snapshot.grids.values() if grid.stage == stage.name),
    )
