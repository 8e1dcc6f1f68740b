"""A first start, with nothing compiled, on a machine whose cores are all busy with other things."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from seuron.deployment import Deployment, Home
from seuron.deployment.processes import marked_processes

SPINNERS = 6


@pytest.fixture
def spinners() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Six processes that use all the processor time that they get."""
    made = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(SPINNERS)]
    yield made
    for process in made:
        process.kill()
        process.wait()


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A state folder of its own, with a cache of kernels that is empty."""
    folder = Path(tempfile.mkdtemp(prefix="seuron-busy-"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder / "kernels"))
    yield Home(folder)
    Deployment(Home(folder)).stop()
    shutil.rmtree(folder, ignore_errors=True)


def _libraries(process: psutil.Process) -> str:
    return Path(f"/proc/{process.pid}/maps").read_text()


@pytest.mark.long
def test_a_first_start_on_a_busy_machine_succeeds(fresh: Home, spinners: list[subprocess.Popen[bytes]]) -> None:
    """It takes minutes, says what it is on, and is healthy in the end; the scheduler has loaded nothing to compile.

    Kernels that are compiled in the scheduler keep it from its own heartbeats: it is then called unhealthy for good.
    """
    steps: list[str] = []
    status = Deployment(fresh).start(on_step=steps.append)
    assert status.healthy
    assert all(process.poll() is None for process in spinners)
    names = list(dict.fromkeys(step.partition(":")[0] for step in steps))
    wanted = ["making the database", "starting the database", "making Airflow's tables", "compiling the kernels"]
    assert [name for name in names if name in wanted] == [name for name in wanted if name in names]
    assert "compiling the kernels" in names
    assert names[-1] == "starting Airflow"
    scheduler = min(marked_processes(fresh.folder, "scheduler"), key=psutil.Process.create_time)
    assert "llvmlite" not in _libraries(scheduler)
    with Deployment(fresh).client() as client:
        assert client.unhealthy() == {}
    # Its workers load what was compiled.
    loaded = []
    for process in scheduler.children(recursive=True):
        with suppress(psutil.NoSuchProcess, FileNotFoundError):
            loaded.append("llvmlite" in _libraries(process))
    assert any(loaded)
    assert list(Path(os.environ["NUMBA_CACHE_DIR"]).glob("compiled-*"))
    assert (fresh.logs / "kernels.log").read_text().count(" compiled, the last in ") > 50
