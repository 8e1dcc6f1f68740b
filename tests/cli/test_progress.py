"""What a terminal and a log file show while a run is active."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from seuron.cli.progress import TerminalProgress
from seuron.client import RunStatus
from seuron.commands import Answer
from seuron.commands.formatting import status_answer
from seuron.engine.progress import StageProgress
from seuron.engine.states import RunState


def look(done: int) -> Answer:
    stages = (StageProgress("watershed", done, 3, 2.0 * (3 - done)), StageProgress("labels", 0, 2, 4.0))
    return status_answer(RunStatus("id", "segmentation", "/data/a", RunState.RUNNING, stages=stages, running=2))


@pytest.mark.parametrize("terminal", [False, True])
def test_each_step_is_shown_once(terminal: bool) -> None:
    """A file gets a line for each change and each message, a terminal bars with what is running and left."""
    console = Console(file=StringIO(), force_terminal=terminal, width=120)
    with TerminalProgress(console) as progress:
        progress(Answer("starting Airflow"))
        for done in (0, 1, 1, 3):
            progress(look(done))
    assert isinstance(console.file, StringIO)
    shown = console.file.getvalue()
    if terminal:
        assert "2 running" in shown.replace("\u00a0", " ")
        assert "3/3" in shown
    else:
        assert shown.splitlines() == ["starting Airflow", f"{'watershed':<16} 1/3", f"{'watershed':<16} 3/3"]
