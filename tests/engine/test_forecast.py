"""What a run will take, and what it took beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs_on_disk import parameters, save, smooth_affinities

from seuron.engine.forecast import Calibration, calibrate, compare, forecast
from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.engine.setup import prepare_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    source = save(tmp_path / "affinities", smooth_affinities((48, 40, 32)))
    return prepare_run(parameters(source, tmp_path / "out", chunk_size=(24, 24, 32), batch_chunks=1))


def test_a_forecast_is_the_plans(run: Run) -> None:
    """Tasks, seconds and memory add up to those of the plan, before anything is measured."""
    found = forecast(run)
    assert found.tasks == len(run.plan.tasks)
    assert found.core_hours * 3600 == pytest.approx(sum(task.seconds for task in run.plan.tasks), abs=0.01)
    assert found.peak_memory_bytes == max(task.memory_bytes for task in run.plan.tasks)
    assert found.measured_on == 0
    assert all(stage.actual_seconds is None for stage in compare(run).stages)


def test_earlier_runs_make_it_right(run: Run) -> None:
    """Fitted to a run, the forecast of the same run is what that took, in time and in bytes on disk."""
    run_local(run.params)
    known = calibrate([run])
    assert known.runs == 1
    fitted, took = forecast(run, known), compare(run)
    assert fitted.measured_on == 1
    for stage, actual in zip(fitted.stages, took.stages, strict=True):
        assert actual.done == stage.tasks
        assert actual.actual_seconds is not None
        assert stage.core_seconds == pytest.approx(actual.actual_seconds, rel=0.01, abs=0.01)
        assert actual.peak_bytes is not None
        assert actual.peak_bytes > 0
    assert fitted.stored_bytes == pytest.approx(took.stored_bytes, rel=0.01)
    assert took.stored_bytes == sum(r.counts.get("stored_bytes", 0) for r in run.records())


def test_the_median_of_several_runs_counts(run: Run) -> None:
    """One run on a busy machine among others does not spoil the forecast."""
    stage = run.plan.stage("watershed")
    planned = sum(task.seconds for task in stage.tasks)
    assert Calibration({"watershed": 3.0}).seconds(stage) == pytest.approx(3 * planned)
    assert Calibration().seconds(stage) == planned
    assert calibrate([]) == Calibration()
