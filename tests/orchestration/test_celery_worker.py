"""What a worker loads before it forks: of that no task has to load anything again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLE = PROJECT / "docs" / "cluster.example.toml"

#: Prints whether Google's library is there, and whether a thread was left by it, whose locks forks would take along.
PROGRAM = """
import os, sys
from seuron.orchestration import celery_worker, executor

def preload(kernels):
    global before
    executor.preload(kernels=kernels)
    before = os.listdir("/proc/self/task")

celery_worker.preload = preload
celery_worker.load_libraries()
print("google.cloud.compute_v1" in sys.modules, os.listdir("/proc/self/task") == before)
"""


@pytest.mark.parametrize("cluster", [str(EXAMPLE), "a file that is not there"])
def test_who_does_the_steps_of_a_google_cluster_has_its_library(cluster: str, tmp_path: Path) -> None:
    """A file that cannot be read keeps no worker from starting."""
    given = {
        "SEURON_CLUSTER": cluster,
        "SEURON_KERNELS": "0",
        "AIRFLOW_HOME": str(tmp_path),
        "PYTHONPATH": str(PROJECT),
    }
    command = [sys.executable, "-c", PROGRAM]
    environment = {**os.environ, **given}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split()[-2:] == [str(cluster == str(EXAMPLE)), "True"]
