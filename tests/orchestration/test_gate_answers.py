"""What a gate does with an answer: who gave it and why is written down in that person's words."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from runs_on_disk import parameters, save, smooth_affinities

from seuron.engine.gates import Answerer, EndedRunError, answers, last_answer, stop_of
from seuron.engine.run import Run
from seuron.engine.setup import prepare_run
from seuron.engine.states import read_stop
from seuron.orchestration.gates import answer
from seuron.orchestration.run_notes import KEY


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return prepare_run(parameters(save(tmp_path / "affinities", smooth_affinities((16, 16, 16))), tmp_path / "run"))


def context_of(run: Run, left: dict[str, Any]) -> dict[str, Any]:
    """What Airflow hands to a task, as far as a gate looks at it; results that it leaves go into `left`."""
    ti = SimpleNamespace(xcom_push=lambda key, value: left.update({key: value}))
    return {"run_id": "r1", "dag_run": SimpleNamespace(conf={"output": run.output}), "ti": ti}


@pytest.mark.parametrize(
    ("said", "who", "why"),
    [
        (Answerer("Ada", 1_700_000_000.0, "too dark").text, "Ada", "too dark"),
        (Answerer("Ada", 1_700_000_000.0).text, "Ada", "ended at the inspection after labels"),
        ("too dark", "admin", "too dark"),
        ("", "admin", "ended at the inspection after labels"),
    ],
)
def test_an_end_is_that_of_the_person(run: Run, said: str, who: str, why: str) -> None:
    """The run's folder, the answer and the note say who ended it and why; Airflow's user only where nobody else did."""
    left: dict[str, Any] = {}
    with pytest.raises(EndedRunError, match=f"cancelled by {who} at .*: {why}"):
        answer(context_of(run, left), "labels", "end", said, "admin")
    stop, ended = read_stop(run.storage, "r1"), last_answer(run.storage, "r1")
    assert stop is not None
    assert ended is not None
    assert (stop.kind, stop.who, stop.why, ended.by) == ("cancelled", who, why, who)
    assert left == {KEY: stop.note}


def test_the_front_ends_note_needs_no_other(run: Run) -> None:
    """What the gate leaves for the note is what the front end has put there: nothing is written below it."""
    answerer, left = Answerer("Ada", 1_700_000_000.25, "too dark"), dict[str, Any]()
    with pytest.raises(EndedRunError):
        answer(context_of(run, left), "labels", "end", answerer.text, "admin")
    assert left[KEY] == stop_of("r1", "labels", answerer).note


def test_an_approval_says_who_gave_it(run: Run) -> None:
    """It is kept under the name of the person, not of the front end."""
    answer(context_of(run, {}), "labels", "approve", Answerer("Ada", 1.0).text, "admin")
    assert [(given.choice, given.by) for given in answers(run.storage, "labels")] == [("approve", "Ada")]
