"""The states of a run: cancelled is not failed, wherever one looks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seuron.engine.states import (
    MEANINGS,
    RunState,
    Stop,
    read_stop,
    read_stops,
    state_in_airflow,
    state_in_folder,
    write_stop,
)
from seuron.storage import Storage

STOP = Stop("manual__2026-11-21T18:00:00+00:00", "cancelled", "ada", 1000.0, "wrong threshold")
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=40)


@given(TEXTS.map(str.strip).filter(bool), TEXTS.map(str.strip).filter(bool), st.integers(0, 2**31))
def test_a_note_says_who_stopped_a_run(who: str, why: str, when: int) -> None:
    """What is written as a note at the run in Airflow can be read from it again."""
    for kind in ("cancelled", "paused"):
        stop = Stop("id", "paused" if kind == "paused" else "cancelled", who.replace(" at ", " "), float(when), why)
        assert Stop.of_note("id", stop.note) == stop


@pytest.mark.parametrize("note", ["", "please look at this", "cancelled by ada", "was cancelled by ada at noon: no"])
def test_other_notes_stop_nothing(note: str) -> None:
    """People write notes too: only the words that seuron writes mean that a run was stopped."""
    assert Stop.of_note("id", note) is None


def test_a_stop_lies_in_the_runs_folder(tmp_path: Path) -> None:
    """Stops are kept by start, and only where a run is: any other folder must stay empty for one."""
    storage = Storage(tmp_path)
    assert not write_stop(storage, STOP)
    assert not any(tmp_path.iterdir())
    (tmp_path / "run.json").write_text("{}")
    later = Stop("other", "paused", "bob", 2000.0, "")
    assert write_stop(storage, later)
    assert write_stop(storage, STOP)
    assert read_stop(storage, STOP.run_id) == STOP
    assert read_stop(storage, "third") is None
    assert read_stops(storage) == [STOP, later]


def test_airflows_failed_is_cancelled_paused_or_failed() -> None:
    """Only a start that somebody stopped is not failed, and only for as long as it was not begun anew."""
    paused = Stop("id", "paused", "ada", 1000.0, "")
    assert state_in_airflow("failed", None) is RunState.FAILED
    assert state_in_airflow("failed", STOP, started=900.0) is RunState.CANCELLED
    assert state_in_airflow("failed", paused, started=900.0) is RunState.HELD
    assert state_in_airflow("failed", STOP, started=5000.0) is RunState.FAILED
    assert state_in_airflow("success", STOP) is RunState.SUCCEEDED
    assert state_in_airflow("queued", None) is RunState.WAITING
    assert state_in_airflow("running", None, held=True) is RunState.HELD
    assert state_in_airflow("running", None, held=True, inspecting=True) is RunState.INSPECTING
    assert state_in_airflow("running", None) is RunState.RUNNING


def test_a_folder_alone_says_the_same() -> None:
    """Without Airflow: complete, at work, stopped since it was prepared, or waiting for somebody."""
    known = {"complete": False, "at_work": False, "prepared": 500.0, "stops": [STOP]}
    assert state_in_folder(**known) is RunState.CANCELLED  # type: ignore[arg-type]
    assert state_in_folder(**{**known, "prepared": 1500.0}) is RunState.WAITING  # type: ignore[arg-type]
    assert state_in_folder(**{**known, "at_work": True}) is RunState.RUNNING  # type: ignore[arg-type]
    assert state_in_folder(**{**known, "complete": True}) is RunState.SUCCEEDED  # type: ignore[arg-type]


def test_every_state_has_a_meaning() -> None:
    """No state is shown that help does not explain."""
    assert set(MEANINGS) == set(RunState)
    assert {state for state in RunState if state.finished} == {"succeeded", "failed", "cancelled"}
