"""The hooks by which people are told: there only where somebody is to be told, and with the cause."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seuron.notifications.settings import FILE_VARIABLE
from seuron.orchestration import segmentation_dag
from seuron.orchestration.telling import tell_end, tell_retry


def _only(callbacks: Any) -> Any:
    """The callback of a task; Airflow keeps one, or a list of them."""
    return callbacks if callable(callbacks) else next(iter(callbacks))


def test_a_run_of_which_nobody_is_told_has_no_hooks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A hook costs a look at the DAG's file at each end of a run: without a file of recipients there is none."""
    monkeypatch.delenv(FILE_VARIABLE, raising=False)
    quiet = segmentation_dag()
    assert not quiet.on_failure_callback
    assert not quiet.on_success_callback
    assert not quiet.get_task("prepare").on_retry_callback
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "notifications.toml"))
    told = segmentation_dag()
    assert [told.on_failure_callback, told.on_success_callback] == [tell_end, tell_end]
    assert _only(told.get_task("prepare").on_retry_callback) == tell_retry
    assert _only(told.get_task("watershed.tier_0").partial_kwargs["on_retry_callback"]) == tell_retry


def test_a_try_that_failed_is_told_with_its_cause(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Which task, why in one line, where its log is, and that it goes on by itself."""
    file = tmp_path / "notifications.toml"
    file.write_text('[[notify]]\nhow = "log"\nevents = ["retry"]\n')
    monkeypatch.setenv(FILE_VARIABLE, str(file))
    monkeypatch.setenv("SEURON_HOME", str(tmp_path / "home"))
    ti = SimpleNamespace(task_id="watershed.tier_0", log_url="http://airflow/log", try_number=2)
    context = {
        "ti": ti,
        "label": "watershed 0 (1, 0, 0)",
        "run_id": "manual__1",
        "params": {"output": "file:///data/first"},
        "exception": OSError("no space left\non device"),
    }
    with caplog.at_level(logging.INFO):
        tell_retry(context)
    for part in (
        "first: a task failed and is tried again: OSError: no space left",
        "watershed 0 (1, 0, 0)",
        "log: http://airflow/log",
        "try 3 of at most 6",
    ):
        assert part in caplog.text
