"""How commands say things: the same facts in the same words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seuron.client import RunStatus, connect
from seuron.commands import NOT_FOUND, OK, Session, execute
from seuron.commands.formatting import bar, diff_lines, status_answer, table
from seuron.engine.progress import StageProgress
from seuron.engine.states import RunState

CELLS = st.text("abc 12", max_size=6)


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.tuples(*[CELLS] * n), min_size=1, max_size=5)))
def test_columns_stand_below_each_other(rows: list[tuple[str, ...]]) -> None:
    """Every cell begins where its column does, so tables can be read in any fixed-width font."""
    lines = table(rows[0], rows[1:]).splitlines()
    assert lines[0] == lines[-1] == "```"
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row, line in zip(rows, lines[1:-1], strict=True):
        start = 0
        for cell, width in zip(row, widths, strict=True):
            assert line.ljust(start + width)[start : start + width].rstrip() == cell.rstrip()
            start += width + 2


@given(st.integers(0, 50), st.integers(0, 50))
def test_a_bar_is_full_only_when_all_is_done(done: int, more: int) -> None:
    """A stage that lacks one task of thousands never looks complete."""
    drawn = bar(done, done + more)
    assert len(drawn) == 20
    assert (set(drawn) == {"#"}) == (more == 0)


@given(st.dictionaries(CELLS, st.integers()), st.dictionaries(CELLS, st.integers()))
def test_a_difference_names_what_differs(before: dict[str, int], after: dict[str, int]) -> None:
    """One line for each value that is not the same, none for the others."""
    names = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert {line.rpartition(":")[0] for line in diff_lines(before, after)} == names


@pytest.mark.parametrize(
    ("state", "more", "said"),
    [
        (RunState.RUNNING, {"running": 3, "dollars": 1.5}, "tissue: running, watershed, 5 of 16 tasks, about 8.0"),
        (RunState.SUCCEEDED, {"started": 10.0, "ended": 130.0}, "tissue: succeeded, after 2"),
        (
            RunState.HELD,
            {"started": 1.0, "ended": 2.0, "dollars": 5.5, "budget": 5.0, "alert": "held: fix it"},
            "tissue: held, after 1.0 s, $5.50 of 5.00\nheld: fix it",
        ),
        (
            RunState.CANCELLED,
            {"stop": "cancelled by ada: no", "ended": 1.0},
            "tissue: cancelled (cancelled by ada: no)",
        ),
    ],
)
def test_a_run_is_reported_in_a_sentence(state: RunState, more: dict[str, object], said: str) -> None:
    """Name and state first; how far and how long while it works, what it took or who stopped it afterwards."""
    stages = (StageProgress("watershed", 5, 8, 3.0), StageProgress("labels", 0, 8, 5.0))
    status = RunStatus("id", "segmentation", "file:///data/tissue", state, stages=stages, **more)  # type: ignore[arg-type]
    answer = status_answer(status)
    assert answer.text.replace("\u00a0", " ").startswith(said)
    assert answer.data["state"] == str(state)
    assert answer.data["done"] == 5
    assert ("3 running" in answer.text) == (state is RunState.RUNNING)


def test_commands_that_ask_no_airflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """States and presets are known anywhere; a deployment without a cluster has no machines to set."""
    monkeypatch.setenv("SEURON_HOME", str(tmp_path))
    monkeypatch.delenv("SEURON_CLUSTER", raising=False)
    session = Session(connect(), "ada")
    assert execute(session, ["states"]).data.keys() == set(RunState)
    assert execute(session, ["presets", "demonstration"]).data["demonstration"]["values"]["batch_chunks"] == 1
    assert "did you mean demonstration" in execute(session, ["presets", "demo"]).text
    assert execute(session, ["presets"]).code == OK
    scaled = execute(session, ["cluster", "scale", "cpu", "3"])
    assert scaled.code == NOT_FOUND
    assert "has no cluster" in scaled.text
