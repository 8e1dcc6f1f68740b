"""Names and messages that hold escape sequences: no terminal, log or chat acts on them."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from airflow_stand_in import AirflowStandIn
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from seuron.bot.notebook import Reply
from seuron.cli import app
from seuron.cli.progress import TerminalProgress
from seuron.cli.worker import _show
from seuron.cluster.groups import WorkerReport
from seuron.commands import Answer
from seuron.notifications.notices import Cause, Notice
from seuron.notifications.slack_text import escaped, links_line
from seuron.printable import PrintableFormatter, printable

#: Clears the screen, sets the window's title, and rings.
NAME = "first\x1b[2J\x1b]0;owned\x07\x9b2J"
SHOWN = r"first\x1b[2J\x1b]0;owned\x07\x9b2J"


def acts(text: str) -> bool:
    return any(letter in text for letter in "\x1b\x07\x9b\r\x08\x00")


@given(st.text(st.characters(exclude_categories=()), max_size=50))
def test_nothing_that_acts_is_left(text: str) -> None:
    """Guards against a control character that the pattern forgets; what can be seen stays as it is."""
    shown = printable(text)
    assert all(letter in "\t\n" or unicodedata.category(letter) not in ("Cc", "Cs", "Zl", "Zp") for letter in shown)
    shown.encode()
    assert printable(shown) == shown
    if text.isprintable():
        assert shown == text


def test_runs_of_airflow_are_listed_in_plain_letters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Guards against the name of a run that clears the screen of whoever lists the runs."""
    monkeypatch.setenv("SEURON_HOME", str(tmp_path))
    with AirflowStandIn() as airflow:
        airflow.end(airflow.begin({"output": f"/data/{NAME}"})["dag_run_id"], "failed", f"cancelled by {NAME}")
        for words in (
            ["runs"],
            ["status", "latest"],
            ["params", "show", "--run", "latest"],
            ["status", NAME],
            ["view", "f"],
        ):
            done = CliRunner().invoke(app, ["--url", airflow.url, *words])
            assert not acts(done.output), words
            if words == ["runs"]:
                assert SHOWN in done.output


def test_a_folder_with_escapes_in_its_name_is_named_in_plain_letters(tmp_path: Path) -> None:
    """Guards against errors that repeat a folder's name as it is; the command itself, with its exit code."""
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    environment = {"SEURON_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
    for words in (["status", str(folder)], ["params", "check", f"affinities={folder}", f"output={tmp_path}"]):
        command = [sys.executable, "-m", "seuron.cli", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert not acts(done.stdout + done.stderr)
        assert r"\x1b[2J" in done.stderr
        assert "Traceback" not in done.stderr


def test_faults_are_shown_in_plain_letters(tmp_path: Path) -> None:
    """Guards against a traceback that ends in a message with an escape sequence."""
    script = (
        "import seuron.cli as cli\n"
        "def fail():\n    raise RuntimeError('a' + chr(27) + '[2J')\n"
        "cli.app = fail\ncli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert r"RuntimeError: a\x1b[2J" in done.stderr
    assert not acts(done.stderr)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_plain_text(terminal: bool) -> None:
    """Guards against stages and texts that rich would print as they are, or read as its markup."""
    file = io.StringIO()
    stage = {"name": f"[red]{NAME}", "done": 1, "total": 2, "seconds_left": None}
    status = {"stages": [stage], "stage": stage["name"], "running": 1, "retrying": 0, "seconds_left": None}
    console = Console(file=file, force_terminal=terminal, width=200, color_system="truecolor" if terminal else None)
    with TerminalProgress(console) as progress:
        progress(Answer(f"following {NAME} [bold]x[/bold]"))
        progress(Answer("", status))
    written = file.getvalue()
    assert f"following {SHOWN} [bold]x[/bold]" in written
    assert "[red]first" in written
    assert "\x1b[2J" not in written
    assert "\x1b]0;" not in written


def test_workers_are_listed_in_plain_letters(capsys: pytest.CaptureFixture[str]) -> None:
    """Guards against a worker whose name, which the broker tells, acts on the terminal."""
    _show([WorkerReport(NAME, 0.0, 0, 0.0, True, 0.0, 0.0)])
    shown = capsys.readouterr().out
    assert SHOWN in shown
    assert not acts(shown)


def test_a_log_has_one_line_for_a_message() -> None:
    """Guards against a name with a line end, after which a log has a line of somebody's own."""
    file = io.StringIO()
    handler = logging.StreamHandler(file)
    handler.setFormatter(PrintableFormatter("%(levelname)s %(message)s"))
    log = logging.Logger("test")
    log.addHandler(handler)
    log.error("%s cannot be read", f"{NAME}\n2026-01-01 INFO all is well")
    try:
        raise ValueError(NAME)
    except ValueError:
        log.exception("a fault")
    lines = file.getvalue().splitlines()
    assert lines[0] == rf"ERROR {SHOWN}\n2026-01-01 INFO all is well cannot be read"
    assert lines[1] == "ERROR a fault"
    assert lines[-1] == f"ValueError: {SHOWN}"


def test_chats_and_notices_get_no_mentions_links_or_escapes() -> None:
    """Guards against names that call a channel, look like another link, or act where a notice is read."""
    text = f"<!channel> <@U1> <https://evil.example|Airflow> & {NAME}"
    assert escaped(text) == f"&lt;!channel&gt; &lt;@U1&gt; &lt;https://evil.example|Airflow&gt; &amp; {SHOWN}"
    line = links_line({text: "https://airflow.example/x", "report": f"/data/{NAME}"})
    assert line.count("<") == 1
    assert not acts(line)
    notice = Notice("failed", NAME, f"/data/{NAME}", causes=(Cause(NAME, NAME),), links={NAME: NAME})
    assert not acts(notice.text + notice.title)
    reply = Reply(Answer(f"```\n{NAME}\n```\n{NAME}", links={NAME: "https://airflow.example/x"}))
    assert not acts(repr(reply) + reply._repr_markdown_())
