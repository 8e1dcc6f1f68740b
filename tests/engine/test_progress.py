"""How far a run is and how long it will take, from its folder."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs_on_disk import parameters, save, smooth_affinities

from seuron.engine.execute import run_task
from seuron.engine.progress import StageWork, seconds_left, stage_progress, total_seconds_left
from seuron.engine.run import Run
from seuron.engine.setup import prepare_run

TIMES = st.floats(0.01, 1e5)


@st.composite
def works(draw: st.DrawFn) -> list[StageWork]:
    """Stages of which some have begun; what was finished was finished since the start."""
    found = []
    for _ in range(draw(st.integers(1, 6))):
        planned, share = draw(TIMES), draw(st.sampled_from([0.0, 0.3, 1.0]))
        finished = planned * share
        found.append(StageWork(planned, finished, finished, draw(TIMES) if share else 0.0))
    return found


@given(works())
def test_what_is_done_takes_no_more_time(stages: list[StageWork]) -> None:
    """A complete stage has nothing left, no stage less than that, and none is guessed before any has begun."""
    begun = any(stage.made for stage in stages)
    for stage, left in zip(stages, seconds_left(stages), strict=True):
        if stage.finished == stage.planned:
            assert left == 0
        elif begun:
            assert left is not None
            assert left > 0
        else:
            assert left is None


@given(works(), st.sampled_from([0.5, 2.0, 4.0]))
def test_a_slower_machine_takes_longer_in_proportion(stages: list[StageWork], factor: float) -> None:
    """Wall times that are all so many times as long make the rest so many times as long."""
    slower = [StageWork(s.planned, s.finished, s.made, s.wall * factor) for s in stages]
    for left, more in zip(seconds_left(stages), seconds_left(slower), strict=True):
        assert (left is None) == (more is None)
        if left is not None:
            assert more == pytest.approx(left * factor)


@given(works())
def test_a_stage_half_done_takes_as_long_again(stages: list[StageWork]) -> None:
    """The pace of a stage is its own: at half of its planned work it needs the time that it took."""
    half = StageWork(100.0, 50.0, 50.0, 7.0)
    assert seconds_left([*stages, half])[-1] == pytest.approx(7.0)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    source = save(tmp_path / "affinities", smooth_affinities((48, 32, 32)))
    return prepare_run(parameters(source, tmp_path / "out", chunk_size=(24, 16, 32), batch_chunks=1))


def test_a_run_is_counted_from_its_folder(run: Run) -> None:
    """Each finished task counts, the stage at work has a time to go, and at the end nothing is left."""
    began = time.time()
    before = stage_progress(run, since=began, now=began)
    assert [stage.done for stage in before] == [0] * len(before)
    assert sum(stage.total for stage in before) == len(run.plan.tasks)
    assert total_seconds_left(before) is None
    tasks = [task.id for task in run.plan.tasks]
    for task_id in tasks[:2]:
        run_task(run, task_id)
    half = stage_progress(run, since=began - 1, now=time.time())
    assert half[0].done == 2
    assert half[0].seconds_left is not None
    assert total_seconds_left(half) is not None
    for task_id in tasks[2:]:
        run_task(run, task_id)
    after = stage_progress(run, since=began - 1, now=time.time())
    assert all(stage.complete for stage in after)
    assert total_seconds_left(after) == 0


def test_an_earlier_start_says_nothing_of_the_pace(run: Run) -> None:
    """What was finished yesterday counts as done, but not as done in no time."""
    run_task(run, run.plan.tasks[0].id)
    later = time.time() + 1000
    resumed = stage_progress(run, since=later, now=later + 1)
    assert resumed[0].done == 1
    assert resumed[0].seconds_left is None
