"""What a run's folder says about tries that failed: all that took several, with every reason that is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runs_on_disk import parameters, save, smooth_affinities

from seuron.engine.execute import run_task
from seuron.engine.retries import LONGEST, LOST, RetriedTask, read_retries, reason, write_retries
from seuron.engine.run import Run
from seuron.engine.setup import prepare_run
from seuron.reporting.report import render_report


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of which some tasks are done, each at its first try."""
    folder = tmp_path_factory.mktemp("run")
    source = save(folder / "affinities", smooth_affinities((32, 32, 32)))
    made = prepare_run(parameters(source, folder / "run", chunk_size=(16, 32, 32), batch_chunks=1))
    for task in list(made.plan.tasks)[:2]:
        run_task(made, task.id)
    return made


def _tried(run: Run, tries: Mapping[int, int]) -> list[str]:
    """Write down the tries of the tasks with these places; gives the ids of all finished ones."""
    records = run.records()
    for place, record in enumerate(records):
        run.finish(dataclasses.replace(record, tries=tries.get(place, 1)))
    return [record.task_id for record in records]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.integers(0, 1), st.integers(1, 4)), st.dictionaries(st.integers(1, 3), st.text(max_size=9)))
def test_each_try_before_the_last_has_a_reason(run: Run, tries: Mapping[int, int], known: Mapping[int, str]) -> None:
    """One for each failed try, in their order; a try that left no word is said to have left none."""
    run.storage.delete(["retries.json"])
    ids = _tried(run, tries)
    write_retries(run, lambda task_id, number: known.get(number))
    wanted = [
        RetriedTask(ids[place], count, tuple(known.get(number) or LOST for number in range(1, count)))
        for place, count in sorted(tries.items())
        if count > 1
    ]
    assert list(read_retries(run.storage)) == wanted


def test_a_later_start_keeps_the_reasons(run: Run) -> None:
    """Airflow knows the reasons of one start only; those of an earlier one stay with the tasks that it did."""
    ids = _tried(run, {0: 2})
    write_retries(run, lambda task_id, number: "OSError: no room")
    write_retries(run, lambda task_id, number: None)
    assert read_retries(run.storage) == (RetriedTask(ids[0], 2, ("OSError: no room",)),)


def test_a_run_without_troubles_says_nothing(run: Run) -> None:
    """Nothing is written into its folder, and its report has no such part."""
    run.storage.delete(["retries.json"])
    _tried(run, {})
    write_retries(run, lambda task_id, number: None)
    assert run.storage.get("retries.json") is None
    assert "tried again" not in render_report(run)


def test_the_report_tells_what_was_tried_again_and_why(run: Run) -> None:
    """By the task's name, with equal reasons counted."""
    ids = _tried(run, {0: 4, 1: 2})
    known = {(ids[0], 1): "OSError: full <disk>", (ids[0], 2): "OSError: full <disk>"}
    write_retries(run, lambda task_id, number: known.get((task_id, number)))
    page = render_report(run)
    assert "2 tasks were tried again" in page
    assert run.plan.task(ids[0]).label in page
    assert f"OSError: full &lt;disk&gt; (2 times)<br>{LOST}" in page


def test_a_reason_is_a_line(tmp_path: Path) -> None:
    """The type and the first line; what goes on for pages is in the task's log."""
    assert reason(OSError(28, "No space left on device")) == "OSError: [Errno 28] No space left on device"
    assert reason(ValueError("first\nsecond")) == "ValueError: first"
    assert reason(ValueError()) == "ValueError: "
    assert len(reason(ValueError("x" * 10_000))) == LONGEST
