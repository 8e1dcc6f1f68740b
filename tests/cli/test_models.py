"""`seuron models`: what a user sees of nets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from foreign_nets import described, write_onnx
from typer.testing import CliRunner, Result

from seuron.cli.application import app


@pytest.fixture(autouse=True)
def models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder with a good net and a file that is none."""
    folder = tmp_path / "models"
    folder.mkdir()
    described(write_onnx(folder / "two.onnx"))
    (folder / "broken.safetensors").write_bytes(b"no net")
    monkeypatch.setenv("SEURON_MODELS", str(folder))
    return folder


def call(*words: str) -> Result:
    """A command of the group, in this process."""
    return CliRunner().invoke(app, ["models", *words], catch_exceptions=True)


def test_the_list_names_what_is_here_and_what_can_be_fetched() -> None:
    """A file that is no net is listed with its fault, and hides no other."""
    rows = {row["name"]: row for row in json.loads(call("list", "--json").output)}
    assert rows["boundary-fib25"]["where"] == rows["two"]["where"] == "here"
    assert "cannot be read" in rows["broken"]["problem"]
    assert rows["microns-cleft"]["where"] == "public"


def test_a_net_is_shown_by_name() -> None:
    """What a run needs to know: layers, voxels, licence; of a public net as well."""
    shown = call("show", "two").output
    assert "8 x 8 x 40 nm" in shown
    assert "affinity-x (-1, 0, 0)" in shown
    assert "models get microns-cleft" in call("show", "microns-cleft").output


def test_a_check_runs_the_net_in_each_engine_that_can() -> None:
    """The answer says which engines run it, and by how much they differ."""
    pytest.importorskip("onnxruntime")
    answered = json.loads(call("check", "two", "--json").stdout)
    engines = {result["engine"]: result for result in answered["engines"]}
    assert engines["onnx"]["finite"]
    assert engines["onnx"]["difference"] == 0
    assert "is ONNX; use the engine onnx" in engines["torch"]["problem"]


def test_a_net_that_is_not_the_named_one_is_not_kept(models_folder: Path) -> None:
    """`--from` takes the authors' file and no other."""
    before = sorted(models_folder.iterdir())
    result = call("get", "microns-cleft", "--from", str(models_folder / "broken.safetensors"), "--json")
    assert result.exit_code == 1
    assert "is not the net microns-cleft" in json.loads(result.output)["error"]
    assert sorted(models_folder.iterdir()) == before
