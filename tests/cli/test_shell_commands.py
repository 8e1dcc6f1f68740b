"""The shell's commands are the registry's: options, JSON and exit codes follow from it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from runs_on_disk import parameters, save, smooth_affinities
from typer.main import get_command
from typer.testing import CliRunner, Result

from seuron.cli import app
from seuron.commands import BAD_PARAMETERS, NOT_FOUND, commands
from seuron.engine.local import run_local
from seuron.engine.states import Stop, write_stop
from seuron.errors import NotFoundError
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.storage import Storage
from seuron.web.viewer.process import stop_server

#: Nothing listens there.
NOBODY = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine where no deployment runs."""
    monkeypatch.setenv("SEURON_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SEURON_URL", raising=False)


def call(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def options(*words: str) -> set[str]:
    """The names of a command's options and arguments."""
    command = get_command(app)
    for word in words:
        command = command.commands[word]  # type: ignore[attr-defined]
    return {name for parameter in command.params for name in parameter.opts}


def test_every_command_is_there_with_all_of_its_options() -> None:
    """What the registry has the shell has, with `--json`, and nothing has to be written twice."""
    for made in commands():
        found = options(*made.name.split())
        assert "--json" in found, made.name
        for parameter in made.parameters:
            if parameter.takes_values:
                assert {"--set", "--params", "--preset"} <= found
            elif not parameter.by_place:
                assert f"--{parameter.name.rstrip('_').replace('_', '-')}" in found
            elif not made.takes_values:
                assert parameter.name in found


@pytest.mark.parametrize("words", [("run", "segmentation"), ("plan",), ("params", "check")])
def test_each_parameter_is_an_option(words: tuple[str, ...]) -> None:
    """Whoever takes a pipeline's parameters takes each by its own option, made from the model."""
    assert {f"--{name.replace('_', '-')}" for name in SegmentationParams.model_fields} <= options(*words)


def test_the_later_way_of_giving_a_value_wins(tmp_path: Path) -> None:
    """A preset, then a file, then words, then options."""
    file = tmp_path / "p.json"
    file.write_text(json.dumps({"watershed_dust": 1, "watershed_size": 1, "mip": 1}))
    words = ["--preset", "serial-sections-40nm", "--params", str(file), "watershed_size=2", "mip=2", "--mip", "3"]
    shown = json.loads(call("params", "show", *words, "--json").output)
    named = ("agglomeration_threshold", "watershed_dust", "watershed_size", "mip")
    assert [shown[name] for name in named] == [0.2, 1, 2, "3"]


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        (("params", "check", "mip=x"), BAD_PARAMETERS, "ParameterErrors"),
        (("run", "segmentation", "output=o"), BAD_PARAMETERS, "ParameterErrors"),
        (("runs",), NOT_FOUND, "UnreachableError"),
        (("cancel", "first"), NOT_FOUND, "UnreachableError"),
        (("params", "explain", "nothing_like_it"), NOT_FOUND, "NotFoundError"),
        (("--url", NOBODY, "runs"), NOT_FOUND, "NoAnswerError"),
    ],
)
def test_errors_have_exit_codes_and_json(words: tuple[str, ...], code: int, kind: str) -> None:
    """With `--json` an error is data on the output that says what it is, and the exit code its kind."""
    done = call(*words, "--json")
    assert done.exit_code == code
    told = json.loads(done.stdout)
    assert told["kind"] == kind
    assert told["error"]


def test_the_command_itself_ends_with_these_codes(tmp_path: Path) -> None:
    """A message on the error output and no traceback; nothing on the other."""
    for words, code in ((["runs"], NOT_FOUND), (["params", "check", "mip=x"], BAD_PARAMETERS)):
        environment = {"SEURON_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
        command = [sys.executable, "-m", "seuron.cli", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code
        assert done.stdout == ""
        assert done.stderr
        assert "Traceback" not in done.stderr


def test_a_run_without_airflow_has_all_that_looks_at_it(tmp_path: Path) -> None:
    """Run, status, report, parameters and names work on folders, with no deployment anywhere."""
    source, output = save(tmp_path / "affinities", smooth_affinities((24, 24, 16))), tmp_path / "out"
    words = [f"affinities={source}", f"output={output}", "block_size=16,16,16"]
    done = call("run", "segmentation", "--local", *words, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["state"] == "succeeded"
    seen = json.loads(call("status", str(output), "--json").stdout)
    assert (seen["state"], seen["name"], seen["done"]) == ("succeeded", "out", seen["total"])
    told = call("report", str(output)).output
    for word in ("out: succeeded", "24 x 24 x 16 voxels", "planned time", "report.html"):
        assert word in told
    assert json.loads(call("params", "show", "--run", str(output), "--json").stdout)["output"] == f"file://{output}"
    assert json.loads(call("status", "out", "--json").stdout)["output"] == f"file://{output}"
    try:
        assert "#!" in call("view", "out").output, "it said that no deployment runs, and needs none"
    finally:
        stop_server(tmp_path / "home" / "viewer")
    assert isinstance(call("view", "other").exception, NotFoundError)
    missing = call("logs", str(output))
    assert isinstance(missing.exception, NotFoundError)
    assert "Airflow knows no start" in str(missing.exception)


def test_a_run_that_cannot_be_right_ends_with_a_warning(tmp_path: Path) -> None:
    """A volume of one segment was a success without a word, and so was what could be seen of it before."""
    path = save(tmp_path / "affinities", np.zeros((24, 24, 16, 3), np.uint8))
    done = call("run", "segmentation", "--local", f"affinities={path}", f"output={tmp_path / 'out'}")
    assert done.exit_code == 0, done.output
    assert "Warning: The mean of `affinities` is 0.00" in " ".join(done.output.split())
    assert "Warning: The segmentation is empty" in " ".join(done.output.split())
    assert "Warning: The segmentation is empty" in " ".join(call("summary", "out").output.split())


def test_a_stopped_run_is_cancelled_in_its_folder(tmp_path: Path) -> None:
    """A folder that holds a stop since it was prepared is a cancelled run's, until it is prepared again."""
    source, output = save(tmp_path / "affinities", smooth_affinities((24, 24, 16))), tmp_path / "out"
    run = run_local(parameters(source, output))
    run.storage.delete([f"tasks/{task.id}.json" for task in run.plan.tasks])
    assert json.loads(call("status", str(output), "--json").stdout)["state"] == "waiting"
    write_stop(Storage(output), Stop("id", "cancelled", "ada", 4e9, "too large"))
    seen = call("status", str(output))
    assert "out: cancelled" in seen.output
    assert "cancelled by ada on 2096-10-02 07:06 UTC: too large" in seen.output


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    """A folder that holds something else is refused with the parameters' exit code, before anything is written."""
    source = save(tmp_path / "affinities", smooth_affinities((16, 16, 16)))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").write_text("dear")
    done = call("run", "segmentation", "--local", f"affinities={source}", f"output={tmp_path / 'full'}", "--json")
    assert done.exit_code == BAD_PARAMETERS
    assert "already holds other files" in json.loads(done.stdout)["error"]
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["letter"]


def test_help_is_grouped() -> None:
    """`seuron --help` puts commands under what they are for; completion can be installed."""
    shown = re.sub(r"[^\w\s-]", " ", call("--help").output)
    for head in ("Runs", "Parameters", "Machines", "Data", "Results", "This machine", "General"):
        assert re.search(rf"^\s+{head}\s", shown, re.MULTILINE), head
    assert "--install-completion" in shown


def test_names_are_completed() -> None:
    """The shell's completion offers commands and presets; without a deployment it offers no run, silently."""
    environment = {"_SEURON_COMPLETE": "complete_bash", "COMP_WORDS": "seuron plan --preset iso", "COMP_CWORD": "3"}
    done = CliRunner().invoke(app, [], prog_name="seuron", env=environment)
    assert "isotropic-10nm" in done.output
    runs = {"_SEURON_COMPLETE": "complete_bash", "COMP_WORDS": "seuron cancel fi", "COMP_CWORD": "2"}
    nothing = CliRunner().invoke(app, [], prog_name="seuron", env=runs)
    assert nothing.output.strip() == ""


def test_a_batch_is_checked_whole_before_its_first_run(tmp_path: Path) -> None:
    """One wrong set among good ones starts none of them, and each problem says of which set it is."""
    source, file = save(tmp_path / "affinities", smooth_affinities((16, 16, 16))), tmp_path / "batch.json"
    outputs = [str(tmp_path / name) for name in "abc"]
    sets = [
        {"affinities": source, "output": outputs[0]},
        {"output": outputs[1], "mip": "x"},
        {"output": outputs[0], "mip": 0},
    ]
    file.write_text(json.dumps(sets))
    words = ("run", "segmentation", "--local", "--params", str(file), "--json")
    refused = call(*words)
    assert refused.exit_code == BAD_PARAMETERS
    first, second = json.loads(refused.stdout)["problems"]
    assert first.startswith("set 2: `mip`")
    assert "2 sets write to" in second
    assert not any(Path(output).exists() for output in outputs)
    file.write_text(json.dumps([sets[0], {"output": outputs[1], "agglomeration_threshold": 0.6}]))
    done = call(*words)
    assert done.exit_code == 0, done.output
    assert [row["state"] for row in json.loads(done.stdout)] == ["succeeded", "succeeded"]
    assert Path(outputs[1], "report.html").exists()
