"""The executor of the embedded deployment, and tasks that are sent again before their first process has ended."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest


@pytest.fixture
def executor(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One whose workers are a list, to which it sends."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
    from airflow.executors.local_executor import LocalExecutor

    from seuron.orchestration.executor import WarmLocalExecutor

    sent: list[Any] = []
    monkeypatch.setattr(LocalExecutor, "_process_workloads", lambda self, workloads: sent.extend(workloads))
    made = WarmLocalExecutor(parallelism=2)
    made._due = Counter()
    return made


def _send(executor: Any, key: str) -> None:
    executor._process_workloads([SimpleNamespace(key=key)])
    executor.running.add(key)


def test_the_end_of_a_first_process_does_not_end_the_second(executor: Any) -> None:
    """Answered at once: the first end is not told, the task still runs, and the second end is told."""
    _send(executor, "gate")
    _send(executor, "gate")
    executor.change_state("gate", "success")
    assert executor.event_buffer == {}
    assert "gate" in executor.running
    executor.change_state("gate", "failed")
    assert executor.event_buffer["gate"][0] == "failed"
    assert "gate" not in executor.running


def test_every_other_end_is_told(executor: Any) -> None:
    """One process, or one after the other: each end is told; that a task is queued is no end."""
    for state in ("success", "failed"):
        _send(executor, "task")
        executor.change_state("task", "queued", remove_running=False)
        assert executor.event_buffer.pop("task")[0] == "queued"
        executor.change_state("task", state)
        assert executor.event_buffer.pop("task")[0] == state
    assert not executor.running
    assert not executor._due
