"""Doing a stage again: it and what depends on it, with the same bytes."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
from runs_on_disk import bytes_of, parameters, save, smooth_affinities

from seuron.engine.invalidation import dependents, invalidate
from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.errors import NotFoundError, RunError
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.storage.locks import TaskLock

CHUNKS = {"chunk_size": (24, 24, 32), "batch_chunks": 1}


@pytest.fixture
def params(tmp_path: Path) -> SegmentationParams:
    source = save(tmp_path / "affinities", smooth_affinities((48, 40, 32)))
    return parameters(source, tmp_path / "out", **CHUNKS)


def outcomes(run: Run, since: dict[str, float]) -> Counter[str]:
    """How often each stage's tasks were done after their times in `since`."""
    return Counter(record.stage for record in run.records() if record.ended > since.get(record.task_id, 0.0))


@pytest.mark.parametrize("stage", ["watershed", "agglomeration", "labels", "report"])
def test_a_stage_and_what_depends_on_it_is_done_again(params: SegmentationParams, stage: str, tmp_path: Path) -> None:
    """Earlier stages stay; the stage's tasks compute again, find no tables, and write the same bytes."""
    run = run_local(params)
    before, ended = bytes_of(tmp_path / "out"), {record.task_id: record.ended for record in run.records()}
    found = invalidate(run, stage)
    assert found.tables
    names = [other.name for other in run.plan.stages if other.tasks]
    assert next(iter(found.tasks)) == stage
    assert set(found.tasks) <= set(names[names.index(stage) :])
    assert found.tasks[stage] == len(run.plan.stage(stage).tasks)
    assert found.tasks["report"] == 1
    again = run_local(params)
    assert outcomes(again, ended) == Counter(found.tasks)
    assert {r.outcome for r in again.records() if r.stage == stage} == {"computed"}
    assert bytes_of(tmp_path / "out") == before


def test_tables_that_others_share_stay(params: SegmentationParams, tmp_path: Path) -> None:
    """A shared store is not this run's to delete from: its tables are taken from there again."""
    shared = params.model_copy(update={"store": str(tmp_path / "store")})
    run = run_local(shared)
    run_local(shared.model_copy(update={"output": str(tmp_path / "other")}))
    objects = set(run.store.objects())
    found = invalidate(run, "agglomeration")
    assert not found.tables
    assert set(run.store.objects()) == objects
    again = run_local(shared)
    assert {r.outcome for r in again.records() if r.stage == "agglomeration"} == {"reused"}


def test_dependents_are_those_that_read_them(params: SegmentationParams) -> None:
    """Whoever reads a invalidated task's result is invalidated as well, and nobody else is."""
    run = run_local(params)
    found = set(dependents(run, "agglomeration"))
    for task in run.plan.tasks:
        reads = not found.isdisjoint(other.id for other in run.reads(task))
        assert (task.id in found) == (reads or task.stage == "agglomeration")


def test_nothing_is_invalidated_while_tasks_run(params: SegmentationParams) -> None:
    """A running task would bring its record back: cancel first."""
    run = run_local(params)
    records = run.records()
    run.storage.put("locks/x.json", json.dumps(asdict(TaskLock("the task x", process=os.getpid()))).encode())
    with pytest.raises(RunError, match="tasks are running"):
        invalidate(run, "labels")
    assert run.records() == records


def test_a_wrong_stage_gets_a_suggestion(params: SegmentationParams) -> None:
    """Stages have long names."""
    with pytest.raises(NotFoundError, match="did you mean 'agglomeration'"):
        invalidate(run_local(params), "aglomeration")
