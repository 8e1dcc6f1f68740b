"""When tasks ran, and how long stages took: what the report's table and timeline show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from seuron.engine.plan import Plan
from seuron.engine.records import TaskRecord


@dataclass(frozen=True)
class StageTiming:
    """One stage in figures. Times are seconds, `start` and `end` since the run's first task began.

    `wall` is from the first start to the last end; `work` sums the tasks' own wall times and `cpu`
    their processor times. `voxels_per_second` is the run's voxels over `wall`.
    """

    name: str
    planned: int
    done: int
    start: float
    end: float
    work: float
    cpu: float
    peak_bytes: int
    voxels_per_second: float
    counts: dict[str, float]

    @property
    def wall(self) -> float:
        return self.end - self.start


@dataclass(frozen=True)
class Bar:
    """One task in the timeline: its lane, and seconds since the run's first task began."""

    lane: int
    start: float
    end: float
    stage: str
    label: str


@dataclass(frozen=True)
class Timeline:
    """All finished tasks, packed into as few lanes as never overlap; `seconds` long in all.

    `busy` is the time in which at least one task ran: the rest went to the scheduler.
    """

    bars: tuple[Bar, ...]
    lanes: int
    seconds: float
    busy: float


def stage_timings(plan: Plan, records: Sequence[TaskRecord], voxels: int) -> list[StageTiming]:
    """Every stage of the plan that has tasks, in order; a stage without records has zeros."""
    origin = min((record.started for record in records), default=0.0)
    timings = []
    for stage in plan.stages:
        if not stage.tiers:
            continue
        mine = [record for record in records if record.stage == stage.name]
        start = min((record.started for record in mine), default=origin) - origin
        end = max((record.ended for record in mine), default=origin) - origin
        timings.append(
            StageTiming(
                name=stage.name,
                planned=len(stage.tasks),
                done=len(mine),
                start=start,
                end=end,
                work=sum(record.seconds for record in mine),
                cpu=sum(record.cpu_seconds for record in mine),
                peak_bytes=max((record.peak_bytes for record in mine), default=0),
                voxels_per_second=voxels / (end - start) if end > start else 0.0,
                counts=sum_counts(mine),
            )
        )
    return timings


def sum_counts(records: Iterable[TaskRecord]) -> dict[str, float]:
    """What tasks counted, added up by name."""
    total: dict[str, float] = {}
    for record in records:
        for name, value in record.counts.items():
            total[name] = total.get(name, 0) + value
    return total


def timeline(plan: Plan, records: Sequence[TaskRecord]) -> Timeline:
    """Tasks by start; each takes the first lane that is free, so the lanes show how many ran at once."""
    origin = min((record.started for record in records), default=0.0)
    free: list[float] = []
    bars = []
    for record in sorted(records, key=lambda r: (r.started, r.task_id)):
        lane = next((i for i, until in enumerate(free) if until <= record.started), len(free))
        free[lane : lane + 1] = [record.ended]
        task = plan.find(record.task_id)
        label = task.label if task is not None else record.task_id
        bars.append(Bar(lane, record.started - origin, record.ended - origin, record.stage, label))
    seconds = max((bar.end for bar in bars), default=0.0)
    return Timeline(tuple(bars), len(free), seconds, _covered(bars))


def _covered(bars: Sequence[Bar]) -> float:
    """Length of the union of the bars; they are sorted by start."""
    covered, until = 0.0, 0.0
    for bar in bars:
        covered += max(0.0, bar.end - max(bar.start, until))
        until = max(until, bar.end)
    return covered
