"""Commands for parameters, as a chat and as a shell have them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from runs_on_disk import parameters, save, smooth_affinities
from typer.testing import CliRunner

from seuron.cli import app
from seuron.client import connect
from seuron.commands import BAD_PARAMETERS, NOT_FOUND, OK, Session, execute
from seuron.engine.local import run_local
from seuron.pipelines.segmentation.params import SegmentationParams


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A session on a machine where no deployment runs."""
    monkeypatch.setenv("SEURON_HOME", str(tmp_path / "home"))
    return Session(connect(), "ada")


def test_values_are_kept_and_the_difference_is_shown(session: Session) -> None:
    """Update, look, compare: the session keeps what was set, a preset's values included, until it is taken out."""
    first = execute(session, ["params", "set", "preset=serial-sections-40nm", "mip=1"])
    assert "mip: - -> 1" in first.text
    assert "chunk_size: - -> 512,512,256" in first.text
    second = execute(session, ["update", "parameters", "mip=2"])
    assert second.text == "mip: 1 -> 2"
    shown = execute(session, ["show", "parameters"])
    assert shown.data["mip"] == 2
    assert "* mip" in shown.text
    assert "* watershed_high" not in shown.text, "what is the default is not marked"
    assert "mip: 0 -> 2" in execute(session, ["params", "diff"]).text
    assert execute(session, ["params", "set", "mip=null"]).text == "mip: 2 -> -"
    assert "mip" not in session.parameters
    assert execute(session, ["params", "set"]).text == "nothing changes"


def test_a_wrong_value_is_never_kept(session: Session) -> None:
    """The session stays as it was, and the message says what is allowed."""
    execute(session, ["params", "set", "mip=1"])
    refused = execute(session, ["params", "set", "mip=-3", "watershed_hgih=2"])
    assert refused.code == BAD_PARAMETERS
    assert len(refused.data["problems"]) == 2
    assert "did you mean `watershed_high`" in refused.text
    assert session.parameters == {"mip": 1}


@pytest.mark.parametrize("name", SegmentationParams.model_fields)
def test_every_parameter_is_explained(session: Session, name: str) -> None:
    """Each has its meaning, its default or that it must be given, and its group."""
    told = execute(session, ["params", "explain", name])
    field = SegmentationParams.model_fields[name]
    assert str(field.description) in told.text
    assert ("it must be given" in told.text) == field.is_required()
    assert told.data[name]["group"]


def test_what_is_allowed_is_said(session: Session) -> None:
    """Enums, limits and units are those that the checks use."""
    assert "allowed: one of error, zero" in execute(session, ["params", "explain", "missing_blocks"]).text
    assert "a number, at least 0 and at most 1" in execute(session, ["params", "explain", "watershed_high"]).text
    assert "unit: voxels" in execute(session, ["params", "explain", "chunk_size"]).text
    assert "did you mean watershed_dust" in execute(session, ["params", "explain", "watershed_dst"]).text


def test_a_chat_gives_whole_paths(session: Session) -> None:
    """Nobody in a chat knows in which folder the bot runs; a shell's folder is the user's own."""
    refused = execute(session, ["params", "check", "affinities=data/a", "output=runs/first"])
    assert refused.code == BAD_PARAMETERS
    assert [problem.split("`")[1] for problem in refused.data["problems"]] == ["affinities", "output"]
    session.is_local = True
    shown = execute(session, ["params", "show", "output=runs/first"])
    assert shown.data["output"] == str(Path.cwd() / "runs" / "first")


def test_check_finds_all_that_a_start_would(session: Session, tmp_path: Path) -> None:
    """Types, combinations and volumes at once; and good parameters are said to be good."""
    source = save(tmp_path / "affinities", smooth_affinities((16, 16, 16)))
    good = execute(session, ["params", "check", f"affinities={source}", f"output={tmp_path / 'out'}"])
    assert (good.code, good.text) == (OK, "nothing is wrong")
    bad = execute(
        session, ["params", "check", f"affinities={tmp_path / 'none'}", f"output={tmp_path / 'out'}", "mip=x"]
    )
    assert bad.code == BAD_PARAMETERS
    assert {problem.split("`")[1] for problem in bad.data["problems"]} == {"affinities", "mip"}
    assert not (tmp_path / "out").exists()


def test_two_runs_are_compared(session: Session, tmp_path: Path) -> None:
    """Runs that no Airflow knows are named by their folders; values are compared, not how they were typed."""
    source = save(tmp_path / "affinities", smooth_affinities((16, 16, 16)))
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, threshold in zip(folders, (0.3, 0.5), strict=True):
        run_local(parameters(source, folder, agglomeration_threshold=threshold))
    found = execute(session, ["params", "diff", str(folders[0]), f"run={folders[1]}"])
    assert set(found.data) == {"agglomeration_threshold", "output"}
    assert found.data["agglomeration_threshold"] == {"before": 0.3, "after": 0.5}
    assert execute(session, ["params", "diff", "nowhere"]).code == NOT_FOUND


def test_the_shell_keeps_values_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`params set --file` writes what `--params` reads; without a file it says where to keep them."""
    monkeypatch.setenv("SEURON_HOME", str(tmp_path / "home"))
    file = tmp_path / "parameters.json"

    def call(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["params", *words])
        return done.exit_code, done.output

    assert call("set", "--file", str(file), "mip=1", "chunk_size=64,64,64")[0] == 0
    assert "mip: 1 -> 0" in call("set", "--file", str(file), "--mip", "0")[1]
    assert json.loads(file.read_text())["chunk_size"] == "64,64,64"
    code, shown = call("show", "--params", str(file), "--json")
    assert code == 0
    assert json.loads(shown)["chunk_size"] == "64,64,64"
    code, told = call("set", "mip=1", "--json")
    assert code == BAD_PARAMETERS
    assert "--file" in json.loads(told)["error"]
