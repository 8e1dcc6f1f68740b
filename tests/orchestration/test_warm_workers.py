"""The process that loads what tasks need and forks the workers, with real processes and small work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import Process, SimpleQueue
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def work(input: Any, output: Any) -> None:
    """In place of Airflow's worker: says who has done what, and dies when it is told to."""
    while (word := input.get()) is not None:
        if word == "die":
            os._exit(9)
        output.put((os.getpid(), os.getppid(), word))


@pytest.fixture
def module(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The executor's module, where loading libraries takes no time."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
    from seuron.orchestration import executor

    monkeypatch.setattr(executor, "_run_worker", work)
    monkeypatch.setattr(executor, "preload", lambda: None)
    monkeypatch.setattr(executor, "wait_for_api", lambda: None)
    return executor


@pytest.fixture
def queues() -> Iterator[tuple[Any, Any]]:
    made = SimpleQueue(), SimpleQueue()
    yield made
    for queue in made:
        queue.close()


def test_a_worker_that_dies_is_replaced_and_all_end_when_told(module: Any, queues: tuple[Any, Any]) -> None:
    """Two workers; one is killed at its work, another takes its place; each ends by one message."""
    sent, said = queues
    template = Process(target=module.run_workers, args=(2, {"input": sent, "output": said}))
    template.start()
    for _ in range(3):
        sent.put("die")
    sent.put("more")
    _, parent, word = said.get()
    assert (parent, word) == (template.pid, "more")
    sent.put(None)
    sent.put(None)
    template.join(30)
    assert template.exitcode == 0
    template.close()


def test_the_executor_watches_the_process_that_forks(module: Any, queues: tuple[Any, Any]) -> None:
    """It has one child, whatever the number of workers, starts it again when it has died, and ends all of them."""
    executor = module.WarmLocalExecutor(parallelism=3)
    executor.activity_queue, executor.result_queue = queues
    executor._unread_messages = SimpleNamespace(value=0)
    module._run_worker = lambda **given: work(given["input"], given["output"])
    executor._spawn_workers_with_gc_freeze(3)
    (first,) = executor.workers.values()
    first.kill()
    first.join(30)
    executor._check_workers()
    (second,) = executor.workers.values()
    assert second.pid != first.pid
    executor._check_workers()
    assert list(executor.workers.values()) == [second]
    executor.end()


@pytest.mark.parametrize("what", ["seuron.orchestration.executor", "airflow.jobs.scheduler_job_runner"])
def test_the_scheduler_loads_nothing_to_compile(tmp_path: Path, what: str) -> None:
    """Neither by its executor, nor by the policies and plugins that Airflow loads for it."""
    heavy = ("numba", "llvmlite", "torch", "cloudvolume", "tensorstore")
    program = f"import sys; import {what}; print([name for name in {heavy} if name in sys.modules])"
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__EXECUTOR": "seuron.orchestration.executor.WarmLocalExecutor",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "[]"
