"""The summary of a run: what a colleague would write about it, in a few sentences, from what is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from seuron.airflow_rest import first_reason
from seuron.client.run_handle import RunHandle
from seuron.client.run_status import RunStatus
from seuron.engine.states import RunState, read_stops
from seuron.reporting.quantities import big, count, duration, percent
from seuron.reporting.timings import sum_counts

if TYPE_CHECKING:
    from seuron.engine.run import Run

#: Retried tasks that are named.
_NAMED = 3
#: Characters of a reason, at most: one line.
_LINE = 200


@dataclass(frozen=True)
class RetriedInstance:
    """A task that succeeded after more than one try, and the reason of the try before the last."""

    task: str
    tries: int
    reason: str

    def __str__(self) -> str:
        return f"{self.task}, after {self.tries} tries ({self.reason or 'its worker was lost'})"


def summary_of(handle: RunHandle) -> str:
    """The summary of a run; raises RunError where its folder is not reachable from here."""
    run = handle.folder()
    return summary_text(run, handle.status(stages=False), retried_tasks(handle))


def summary_text(run: Run, status: RunStatus, retried: Sequence[RetriedInstance]) -> str:
    """The sentences, each only where it applies."""
    found = run.pipeline.report(run) if status.state is RunState.SUCCEEDED else ()
    sentences = [
        _made(run, status),
        *(sentence for section in found for sentence in section.sentences),
        _work(run),
        *_went_wrong(run, status, retried, [alert for section in found for alert in section.alerts]),
        *([f"It cost ${status.dollars:.2f}."] if status.dollars is not None else []),
    ]
    return " ".join(sentences)


def retried_tasks(handle: RunHandle) -> list[RetriedInstance]:
    """The tasks that succeeded after more than one try; empty for a run that Airflow does not know."""
    if not handle.id:
        return []
    client = handle.deployment.client
    found = list[RetriedInstance]()
    for task in client.task_instances(handle.dag, handle.id, states=["success"]):
        if task.try_number > 1:
            reason = ""
            if len(found) < _NAMED:
                before = replace(task, try_number=task.try_number - 1)
                reason = first_reason(client.log_events(handle.dag, handle.id, before)) or ""
            found.append(RetriedInstance(task.label, task.try_number, " ".join(reason.split())[:_LINE]))
    return found


def _made(run: Run, status: RunStatus) -> str:
    shape = " x ".join(str(side) for side in run.facts.box.shape)
    voxels = f"{shape} voxels ({big(run.facts.box.voxels)})"
    if status.state is not RunState.SUCCEEDED:
        done, planned = len(run.records()), len(run.plan.tasks)
        return f"{status.sentence.rstrip('.')}. {count(done)} of {count(planned)} tasks of {voxels} are done."
    took = f" in {duration(status.ended - status.started)}" if status.started and status.ended else ""
    return f"{status.name} is done: a {run.pipeline.name} of {voxels}{took}."


def _work(run: Run) -> str:
    """How much work it was, and where most of it went."""
    records = run.records()
    by_stage: dict[str, float] = {}
    for record in records:
        by_stage[record.stage] = by_stage.get(record.stage, 0.0) + record.seconds
    total = sum(by_stage.values())
    if not total:
        return "No work was needed."
    stage = max(by_stage, key=lambda name: by_stage[name])
    kept = sum(record.outcome != "computed" for record in records)
    reused = f" {count(kept)} of {count(len(records))} tasks took over earlier results." if kept else ""
    return f"That was {duration(total)} of work, {percent(by_stage[stage] / total)} of it {stage}.{reused}"


def _went_wrong(
    run: Run, status: RunStatus, retried: Sequence[RetriedInstance], alerts: Sequence[str]
) -> Iterator[str]:
    """What went wrong, may be wrong, or was done by hand; one sentence when nothing did."""
    found = [*_wrong(run, status, retried), *(f"Warning: {alert}" for alert in alerts)]
    yield from found or (["Nothing went wrong."] if status.state is RunState.SUCCEEDED else [])


def _wrong(run: Run, status: RunStatus, retried: Sequence[RetriedInstance]) -> Iterator[str]:
    if retried:
        tasks = f"{count(len(retried))} task{'s' if len(retried) > 1 else ''}"
        named = "; ".join(map(str, retried[:_NAMED]))
        more = f"; and {len(retried) - _NAMED} more" if len(retried) > _NAMED else ""
        yield f"{tasks} failed at first and succeeded later: {named}{more}."
    filled = sum_counts(run.records()).get("filled_blocks", 0)
    if filled:
        yield f"{count(filled)} blocks of the input are missing and were taken as zeros."
    for stop in read_stops(run.storage):
        if stop.sentence != status.stop:
            yield f"Earlier it was {stop.sentence}."
