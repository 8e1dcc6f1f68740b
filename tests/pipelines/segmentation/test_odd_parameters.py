"""`params check` answers every set of parameters: nothing is wrong, or one sentence for each thing that is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from odd_parameters import SETS, make_volumes, odd_values

from seuron.client import connect
from seuron.commands import Session
from seuron.commands.parameters import check
from seuron.commands.registry import Values
from seuron.commands.run_parameters import read_values
from seuron.errors import ParameterErrors
from seuron.params.json_values import parse_json

#: Both files of odd parameters load the same libraries, so they share a process.
pytestmark = pytest.mark.xdist_group("odd-parameters")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Volumes of an image, affinities and labels, and things that are none."""
    found = tmp_path_factory.mktemp("volumes")
    make_volumes(found)
    return found


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A session on a machine where no deployment runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEURON_HOME", str(tmp_path_factory.mktemp("home")))
        return Session(connect(), "ada", is_local=True)


@pytest.mark.parametrize(("changes", "names"), SETS, ids=[str(number) for number in range(len(SETS))])
def test_every_set_is_answered(session: Session, folder: Path, changes: dict[str, Any], names: list[str]) -> None:
    """Odd values ended in tracebacks or were taken: each is refused by name, in one sentence, or is right."""
    try:
        check(session, Values(odd_values(folder, changes)))
        problems: tuple[str, ...] = ()
    except ParameterErrors as error:
        problems = error.problems
    assert len(problems) == len(names), problems
    for name in set(names):
        assert sum(f"`{name}" in problem for problem in problems) >= names.count(name), problems
    assert all(len(problem) < 1000 and problem.isprintable() for problem in problems), problems
    assert not (folder / "new").exists(), "a check writes nothing"


def test_a_file_of_values_is_answered(session: Session, tmp_path: Path) -> None:
    """JSON that Python itself cannot parse was a traceback."""
    file = tmp_path / "values.json"
    for text in ("[" * 100_000, '{"mip": ' + "1" * 5000 + "}", "{", '{"a": ' * 50 + "1" + "}" * 50):
        file.write_text(text)
        with pytest.raises(ParameterErrors, match="cannot read"):
            read_values(file)
    with pytest.raises(ValueError, match="nested more than"):
        parse_json("[" * 50 + "]" * 50)


@pytest.mark.parametrize(
    ("words", "code", "name"),
    [
        (["bbox=0,0,0,9223372036854775808,1,1", "task_memory=inf"], 2, "`task_memory`"),
        (["constraints=" + "[" * 5000], 2, "`constraints`"),
        (["store=file.txt"], 2, "`store`"),
        ([], 0, "nothing is wrong"),
    ],
)
def test_the_command_line_answers_too(folder: Path, tmp_path: Path, words: list[str], code: int, name: str) -> None:
    """The same through the shell: exit code 2 and sentences, never a traceback."""
    command = [sys.executable, "-m", "seuron.cli", "params", "check", "affinities=affinities", "output=new", *words]
    environment = {**os.environ, "SEURON_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert name in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
