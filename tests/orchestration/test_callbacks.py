"""The callbacks that notify people: there only where recipients are configured, and with the cause."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seuron.notifications.settings import FILE_VARIABLE
from seuron.orchestration.callbacks import on_run_end, on_task_retry
from seuron.orchestration.pipeline_dag import pipeline_dag
from seuron.pipelines.segmentation import PIPELINE


def _only(callbacks: Any) -> Any:
    """The callback of a task; Airflow keeps one, or a list of them."""
    return callbacks if callable(callbacks) else next(iter(callbacks))


def test_without_recipients_a_dag_has_no_callbacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A callback costs a parse of the DAG's file at each end of a run: without a file of recipients there is none."""
    monkeypatch.delenv(FILE_VARIABLE, raising=False)
    quiet = pipeline_dag(PIPELINE)
    assert not quiet.on_failure_callback
    assert not quiet.on_success_callback
    assert not quiet.get_task("prepare").on_retry_callback
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "notifications.toml"))
    notifying = pipeline_dag(PIPELINE)
    assert [notifying.on_failure_callback, notifying.on_success_callback] == [on_run_end, on_run_end]
    assert _only(notifying.get_task("prepare").on_retry_callback) == on_task_retry
    assert _only(notifying.get_task("watershed.tier_0").partial_kwargs["on_retry_callback"]) == on_task_retry


def test_a_try_that_failed_is_notified_with_its_cause(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Which task, why in one line, where its log is, and that it is retried."""
    file = tmp_path / "notifications.toml"
    file.write_text('[[notify]]\nhow = "log"\nevents = ["retry"]\n')
    monkeypatch.setenv(FILE_VARIABLE, str(file))
    monkeypatch.setenv("SEURON_HOME", str(tmp_path / "home"))
    ti = SimpleNamespace(task_id="watershed.tier_0", log_url="http://airflow/log", try_number=2)
    context = {
        "ti": ti,
        "label": "watershed 0 leaf (1, 0, 0)",
        "run_id": "manual__1",
        "params": {"output": "file:///data/first"},
        "exception": OSError("no space left\non device"),
    }
    with caplog.at_level(logging.INFO):
        on_task_retry(context)
    for part in (
        "first: a task failed and is retried: OSError: no space left",
        "watershed 0 leaf (1, 0, 0)",
        "log: http://airflow/log",
        "try 3 of at most 6",
    ):
        assert part in caplog.text
