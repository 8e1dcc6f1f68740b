"""What a run will take, and afterwards what it took beside it: tasks, core time, memory, bytes.

A plan's estimates come from rates that were measured once (each pipeline's estimates). Runs that have ended on
the same machines say how far those are off, stage by stage: a `Calibration`. Money is told by
`seuron.cluster.costs.estimates`, from the forecast's seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from seuron.engine.plan import StagePlan
from seuron.engine.records import TaskRecord
from seuron.engine.run import Run

#: Records of each stage of an earlier run that are read at most: they are files, and stages are even.
SAMPLED = 32
#: Earlier runs that are asked at most.
ASKED = 5


@dataclass(frozen=True)
class StageForecast:
    """One stage: tiers and tasks, core-seconds of them all, bytes of memory of the largest.

    `done` tasks are finished; `actual_seconds` of wall time in their processes and the `peak_bytes` of those is
    what they took, None where nothing is finished.
    """

    stage: str
    tiers: int
    tasks: int
    core_seconds: float
    memory_bytes: int
    done: int = 0
    actual_seconds: float | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True)
class Forecast:
    """A run before it starts; `stored_bytes` is what it leaves on disk, at most where no earlier run tells more.

    `measured_on` says how many earlier runs the seconds and bytes were fitted to.
    """

    output: str
    box: tuple[int, ...]
    voxels: int
    stages: tuple[StageForecast, ...]
    stored_bytes: int
    measured_on: int = 0

    @property
    def tasks(self) -> int:
        return sum(stage.tasks for stage in self.stages)

    @property
    def core_hours(self) -> float:
        return sum(stage.core_seconds for stage in self.stages) / 3600

    @property
    def peak_memory_bytes(self) -> int:
        return max((stage.memory_bytes for stage in self.stages), default=0)


@dataclass(frozen=True)
class Calibration:
    """What earlier runs took against their plans: seconds by planned second of each stage, and bytes a voxel."""

    ratios: dict[str, float] = field(default_factory=dict)
    bytes_per_voxel: float | None = None
    runs: int = 0

    def seconds(self, stage: StagePlan) -> float:
        """Core-seconds of a stage's tasks."""
        return stage.seconds * self.ratios.get(stage.name, 1.0)


def calibrate(runs: Iterable[Run]) -> Calibration:
    """The medians of what these runs, complete ones, took against their plans."""
    ratios: dict[str, list[float]] = {}
    stored, asked = [], 0
    for run in runs:
        asked += 1
        sampled = {stage.name: _sample(run, stage) for stage in run.plan.stages if stage.tiers}
        for name, records in sampled.items():
            planned = sum(run.plan.task(record.task_id).seconds for record in records)
            if planned > 0:
                ratios.setdefault(name, []).append(sum(record.seconds for record in records) / planned)
        stored.append(sum(_stored(run.plan.stage(name), rows) for name, rows in sampled.items()) / run.facts.box.voxels)
    found = {name: median(values) for name, values in ratios.items()}
    return Calibration(found, median(stored) if stored else None, asked)


def forecast(run: Run, known: Calibration | None = None) -> Forecast:
    """What a planned run will take; nothing is read but `run`."""
    measured = known or Calibration()
    stages = tuple(
        StageForecast(
            stage=stage.name,
            tiers=len(stage.tiers),
            tasks=len(stage.tasks),
            core_seconds=round(measured.seconds(stage), 3),
            memory_bytes=stage.memory_bytes,
        )
        for stage in run.plan.stages
        if stage.tiers
    )
    return Forecast(
        output=run.output,
        box=tuple(run.facts.box.corners),
        voxels=run.facts.box.voxels,
        stages=stages,
        stored_bytes=round(run.facts.box.voxels * measured.bytes_per_voxel)
        if measured.bytes_per_voxel
        else run.pipeline.stored_bytes(run.params, run.facts),
        measured_on=measured.runs,
    )


def compare(run: Run) -> Forecast:
    """The plan's estimates of a run beside what its finished tasks took."""
    records: dict[str, list[TaskRecord]] = {}
    for record in run.records():
        records.setdefault(record.stage, []).append(record)
    planned = forecast(run)
    stages = tuple(_with_actual(stage, records.get(stage.stage, [])) for stage in planned.stages)
    stored = sum(int(record.counts.get("stored_bytes", 0)) for rows in records.values() for record in rows)
    return Forecast(run.output, planned.box, planned.voxels, stages, stored or planned.stored_bytes)


def _with_actual(stage: StageForecast, records: Sequence[TaskRecord]) -> StageForecast:
    if not records:
        return stage
    seconds, peak = sum(record.seconds for record in records), max(record.peak_bytes for record in records)
    return StageForecast(
        stage.stage, stage.tiers, stage.tasks, stage.core_seconds, stage.memory_bytes,
        done=len(records), actual_seconds=round(seconds, 3), peak_bytes=peak,
    )  # fmt: skip


def _sample(run: Run, stage: StagePlan) -> list[TaskRecord]:
    """Records of tasks that did their work, spread over the stage."""
    step = max(1, len(stage.tasks) // SAMPLED)
    found = (run.record(stage.tasks[number].id) for number in range(0, len(stage.tasks), step))
    return [record for record in found if record is not None and record.outcome == "computed"]


def _stored(stage: StagePlan, records: Sequence[TaskRecord]) -> float:
    """Bytes of a stage's layers, from some of its tasks."""
    if not records:
        return 0.0
    return sum(record.counts.get("stored_bytes", 0) for record in records) / len(records) * len(stage.tasks)
