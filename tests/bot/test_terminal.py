"""The same conversation in a terminal and in a notebook."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import seuron
from seuron.bot.notebook import markdown
from seuron.bot.terminal import TerminalChat, attachments
from seuron.client import DeploymentClient
from seuron.commands import Answer
from seuron.engine.run import Run
from seuron.errors import ParameterErrors

ROOT = Path(__file__).parents[2]


def test_a_pipe_is_a_conversation(tmp_path: Path) -> None:
    """Lines from a pipe are answered one after the other, in one session; the exit code says whether one failed."""
    (tmp_path / "p.json").write_text('{"mip": 1}')
    said = f"update parameters @{tmp_path}/p.json\nupdate parameters mip=2\nstauts\nbye\nstates\n"
    done = subprocess.run(
        [sys.executable, "-m", "seuron.cli", "chat"],
        input=said,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SEURON_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=240,
    )
    lines = done.stdout.splitlines()
    assert lines[:2] == ["mip: - -> 1", "mip: 1 -> 2"]
    assert "did you mean 'status'" in lines[2]
    assert len(lines) == 3
    assert done.returncode == 4


def test_a_terminal_shows_tables_without_marks(finished: Run, deployment: DeploymentClient) -> None:
    """What chats put around tables is left out, links and pictures are lines."""
    written: list[str] = []
    assert TerminalChat(deployment).talk([f"status {finished.output}\n", "\n"], written.append) == 0
    assert len(written) == 1
    assert "first: succeeded" in written[0]
    assert "```" not in written[0]


def test_files_that_are_not_there_are_named(deployment: DeploymentClient) -> None:
    """All files that cannot be read are said at once, and nothing is done."""
    with pytest.raises(ParameterErrors, match=r"(?s)/no/a\.json.*/no/b\.json"):
        attachments("run segmentation @/no/a.json @/no/b.json")
    assert TerminalChat(deployment).answer("states @/no/a.json").code == 2
    assert attachments("mail ada@example.org @")[0] == "mail ada@example.org @"


def test_a_cell_shows_an_answer(finished: Run, deployment: DeploymentClient) -> None:
    """In a notebook an answer is Markdown with its pictures in it, and data for what follows."""
    reply = seuron.chat(f"summary {finished.output}", deployment=deployment)
    assert "first is done" in repr(reply)
    shown = reply._repr_markdown_()
    assert "first is done: a segmentation of 24 x 20 x 16 voxels" in shown
    assert shown.count("data:image/png;base64,") >= 2
    assert reply.data["state"] == "succeeded"
    kept = seuron.chat("update parameters", {"mip": 1}, deployment=deployment)
    assert repr(kept) == "mip: - -> 1"
    assert seuron.chat("show parameters", deployment=deployment).data["mip"] == 1


def test_names_of_data_are_no_markup() -> None:
    """What an answer says is text: no link, no picture, no HTML comes from a name."""
    text = "<img src=x onerror=alert(1)> [a](javascript:b) *c*\n```\n<b> | x\n```"
    shown = markdown(Answer(text, links={"Airflow": "http://a/b", "report": "/data/<x>/report.html"}))
    assert "<img" not in shown
    assert "\\[a\\](javascript:b) \\*c\\*" in shown
    assert "```\n<b> | x\n```" in shown
    assert "[Airflow](<http://a/b>)" in shown
    assert "report: /data/&lt;x&gt;/report.html" in shown
