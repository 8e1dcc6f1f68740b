"""Runs that were made without Airflow: found by their names, whatever has become of the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs_on_disk import parameters, save, smooth_affinities

from seuron.client import connect
from seuron.client.local_runs import LocalRun, LocalRuns
from seuron.engine.setup import prepare_run
from seuron.storage import cloud_path


def test_a_damaged_run_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One local run whose folder is damaged, gone or a file now, or whose entry is, made all others unknown."""
    monkeypatch.setenv("SEURON_HOME", str(tmp_path / "home"))
    deployment, source = connect(), save(tmp_path / "affinities", smooth_affinities((16, 16, 16)))
    for name in ("good", "damaged", "gone", "file"):
        run = prepare_run(parameters(source, tmp_path / name))
        deployment.local_runs.add(LocalRun(run.output, run.pipeline.name))
    (tmp_path / "damaged/run.json").write_text("{")
    for name in ("gone", "file"):
        (tmp_path / name).rename(tmp_path / f"moved-{name}")
    (tmp_path / "file").write_text("a file")
    folder = deployment.embedded.home.local_runs
    (folder / "other").write_bytes(b"\0")
    assert {Path(run.output).name for run in LocalRuns(folder).known()} == {"good", "damaged"}
    handle = deployment.find("good")
    assert (handle.output, handle.folder().output) == (cloud_path(tmp_path / "good"),) * 2
