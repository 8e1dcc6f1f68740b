"""The executor of the embedded deployment, and tasks that are sent again before their first process has ended."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Segments a volume of each type, and prints what was compiled, or loaded, that had not been before.
PROGRAM = """
import importlib, pkgutil
import numpy as np
import abiss_py.kernels as package
from abiss_py import segment
from numba.core.dispatcher import Dispatcher
from seuron.orchestration.executor import preload

def loaded():
    modules = [importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__)]
    found = {name: value for m in modules for name, value in vars(m).items() if isinstance(value, Dispatcher)}
    return {(name, signature) for name, function in found.items() for signature in function.signatures}

preload()
before = loaded()
values = np.asfortranarray(np.random.default_rng(1).integers(0, 256, (20, 24, 28, 3), np.uint8))
for affinities in (values, np.asfortranarray(values / np.float32(255))):
    segment(affinities, high=0.95, low=0.1, size=20, dust=3, threshold=0.3, chunk_size=(10, 12, 14))
print("compiled late:", *sorted(f"{name}{signature}" for name, signature in loaded() - before))
"""


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


def test_no_kernel_is_left_to_the_tasks() -> None:
    """After the executor has loaded what tasks need, segmenting a volume of either type compiles nothing."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].strip() == "compiled late:"
