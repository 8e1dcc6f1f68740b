"""Answers of inspection gates: how changes are read, and what they are kept by."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs_on_disk import parameters, save, smooth_affinities

from seuron.client import AirflowClient
from seuron.client.gates import WaitingGate, answer_gate
from seuron.engine.gates import (
    Answerer,
    GateAnswer,
    add_answer,
    changed_values,
    last_answer,
    parse_changes,
    stage_key,
    stages_to_inspect,
    stop_of,
)
from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.engine.setup import prepare_run
from seuron.engine.states import Stop
from seuron.errors import ParameterErrors, RunError
from seuron.pipelines.segmentation import PIPELINE
from seuron.storage import Storage


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save(tmp_path_factory.mktemp("input") / "affinities", smooth_affinities((40, 30, 20)))


def _answer(run: Run, choice: str, **more: object) -> GateAnswer:
    made = {"stage": "watershed", "key": stage_key(run, "watershed"), "run_id": "r1", "by": "ada", "time": 1.0}
    return GateAnswer(**{**made, "choice": choice, **more})


def test_every_stage_but_the_last_can_be_inspected() -> None:
    """The parameter knows the plan's stages."""
    assert PIPELINE.inspectable == tuple(stage.name for stage in PIPELINE.stages)[:-1]


@pytest.mark.parametrize(
    "text",
    [
        "agglomeration_threshold=0.4 chunk_size=1,2,3 constraints='abiss2026'",
        '{"agglomeration_threshold": 0.4, "chunk_size": "1,2,3", "constraints": "abiss2026"}',
        "agglomeration_threshold=0.4\nchunk_size=1,2,3\n  constraints=abiss2026  ",
    ],
)
def test_changes_are_words_or_json(text: str) -> None:
    """Both ways of writing mean the same, over lines as well."""
    expected = {"agglomeration_threshold": 0.4, "chunk_size": "1,2,3", "constraints": "abiss2026"}
    assert parse_changes(text) == expected


@pytest.mark.parametrize("text", ["threshold", "{no json", "a='b"])
def test_changes_that_cannot_be_read_are_refused(text: str) -> None:
    """With a message that says how to write them."""
    with pytest.raises(ParameterErrors, match="key=value"):
        parse_changes(text)


def test_changed_parameters_are_checked_like_a_runs(source: str, tmp_path: Path) -> None:
    """All problems at once, volumes looked at; the folder stays, and a redo changes something."""
    before = parameters(source, tmp_path / "run").model_dump(mode="json")
    assert changed_values(PIPELINE, before, {"watershed_size": 11})["watershed_size"] == 11
    with pytest.raises(ParameterErrors) as caught:
        changed_values(PIPELINE, before, {"watershed_size": -1, "agglomeration_treshold": 0.2})
    assert len(caught.value.problems) == 2
    with pytest.raises(ParameterErrors, match="`output`"):
        changed_values(PIPELINE, before, {"output": str(tmp_path / "other")})
    with pytest.raises(ParameterErrors, match="nothing"):
        changed_values(PIPELINE, before, {"affinities": str(tmp_path / "nothing")})
    with pytest.raises(ParameterErrors, match="approve"):
        changed_values(PIPELINE, before, {})


@given(st.text(max_size=30), st.floats(0, 4e9), st.text(max_size=30), st.text(max_size=30))
def test_who_answered_is_what_was_sent(by: str, when: float, why: str, other: str) -> None:
    """A front end's person comes through whoever Airflow takes for the user; so does any reason on Airflow's page."""
    sent = Answerer(by, when, why)
    assert Answerer.of_text(sent.text, other, 1.0) == sent
    said = Answerer.of_text(why, other, when)
    assert said == sent or (said.by, said.time, said.why) == (other, when, " ".join(why.split()))


@pytest.mark.parametrize("text", ["", "too dark", "{}", '{"answered": 3}', '{"answered": {"by": "x"}}', "[" * 100_000])
def test_other_words_are_a_reason(text: str) -> None:
    """Nothing that is typed on the page keeps a run from being ended, or makes somebody else of the user."""
    found = Answerer.of_text(text, "admin", 7.0)
    assert (found.by, found.time) == ("admin", 7.0)
    stop = stop_of("r1", "labels", found)
    assert stop.why == (text or "ended at the inspection after labels")
    assert Stop.of_note("r1", stop.note) == stop


def test_an_approval_holds_for_the_results_that_were_seen(source: str, tmp_path: Path) -> None:
    """Asked once; asked again when results of the stage change, and not when only later ones do."""
    values = {"inspect_after": "watershed,labels,evaluation"}
    run = prepare_run(parameters(source, tmp_path / "run", **values))
    assert stages_to_inspect(run) == ["watershed", "labels"]  # there is nothing to evaluate
    add_answer(run.storage, _answer(run, "redo", problems=("no",)))
    assert stages_to_inspect(run) == ["watershed", "labels"]
    add_answer(run.storage, _answer(run, "approve"))
    assert stages_to_inspect(run) == ["labels"]
    later = prepare_run(parameters(source, tmp_path / "run", agglomeration_threshold=0.9, **values))
    assert stages_to_inspect(later) == ["labels"]
    other = prepare_run(parameters(source, tmp_path / "run", watershed_size=17, **values))
    assert stages_to_inspect(other) == ["watershed", "labels"]


def test_no_result_depends_on_gates(source: str, tmp_path: Path) -> None:
    """A run's keys are the same with and without them."""
    plain = prepare_run(parameters(source, tmp_path / "run"))
    assert prepare_run(parameters(source, tmp_path / "run", inspect_after=["labels"])).key == plain.key


def test_the_last_answer_is_the_one_that_ended_a_run(source: str, tmp_path: Path) -> None:
    """Approvals and refused redos end nothing; answers of other runs do not count."""
    run = prepare_run(parameters(source, tmp_path / "run"))
    storage = Storage(run.output)
    assert last_answer(storage, "r1") is None
    add_answer(storage, _answer(run, "approve"))
    add_answer(storage, _answer(run, "redo", problems=("no",)))
    assert last_answer(storage, "r1") is None
    ended = _answer(run, "redo", successor="r1~redo1", changes={"mip": 1}, time=3.0)
    add_answer(storage, ended)
    add_answer(storage, _answer(run, "end", run_id="r1~redo1", time=4.0))
    assert last_answer(storage, "r1") == ended
    last = last_answer(storage, "r1~redo1")
    assert last is not None
    assert last.choice == "end"


def test_without_airflow_gates_are_refused(source: str, tmp_path: Path) -> None:
    """The local runner has nobody to ask: it says so, and does nothing."""
    with pytest.raises(ParameterErrors, match="inspect_after"):
        run_local(parameters(source, tmp_path / "run", inspect_after=["labels"]))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("choice", "changes"), [("approve", "mip=1"), ("redo", None), ("redo", ""), ("end", {"mip": 1}), ("maybe", None)]
)
def test_answers_that_make_no_sense_are_not_sent(choice: str, changes: object) -> None:
    """Only a redo has changes, and a redo without any is none: nothing is asked of Airflow then."""
    gate = WaitingGate("segmentation", "r", "labels", "?", "", 0, "page")
    with AirflowClient("http://127.0.0.1:9") as client, pytest.raises(RunError, match="redo"):
        answer_gate(client, gate, choice, changes)  # type: ignore[arg-type]
