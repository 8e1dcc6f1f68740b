"""Tokens of tasks that wait in the broker: they live longer than the time after which a task is sent again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
QUEUED_TIMEOUT, RUNNING = 5, 600

#: Makes the executor that the settings name, as the scheduler does, and a token of each kind.
LOOK = """
import json, jwt
from airflow.executors.executor_loader import ExecutorLoader
from airflow.executors.workloads.base import BaseWorkloadSchema

executor = ExecutorLoader.get_default_executor()
generator = executor.jwt_generator

def claims(token):
    return jwt.decode(token, "a secret that is long enough for a token", algorithms=["HS512"], audience="tasks",
                      issuer="here")

def life(token):
    found = claims(token)
    return {"seconds": found["exp"] - found["iat"], "scope": found.get("scope"), "sub": found.get("sub")}

print("FACTS" + json.dumps({
    "executor": type(executor).__name__,
    "waiting": life(BaseWorkloadSchema.generate_token("one", generator)),
    "running": life(generator.generate({"sub": "one"})),
    "short": life(generator.generate({"sub": "one"}, valid_for=7.0)),
    "same": executor.jwt_generator is generator,
}))
"""


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("airflow")
    settings = {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__EXECUTOR": "seuron.orchestration.celery_executor.PatientCeleryExecutor",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__CELERY__BROKER_URL": "redis://127.0.0.1:1/0",
        "AIRFLOW__CELERY__RESULT_BACKEND": "redis://127.0.0.1:1/0",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": QUEUED_TIMEOUT,
        "AIRFLOW__API_AUTH__JWT_SECRET": "a secret that is long enough for a token",
        "AIRFLOW__API_AUTH__JWT_ISSUER": "here",
        "AIRFLOW__EXECUTION_API__JWT_AUDIENCE": "tasks",
        "PYTHONPATH": PROJECT,
    }
    outside = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    environment = {**outside, **{name: str(value) for name, value in settings.items()}}
    done = subprocess.run(
        [sys.executable, "-c", LOOK], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("FACTS"))
    found: dict[str, Any] = json.loads(line.removeprefix("FACTS"))
    return found


def test_a_waiting_tasks_token_outlives_the_time_to_send_it_again(facts: dict[str, Any]) -> None:
    """It is Airflow's own, for the same task and of the same kind, and good for a week."""
    assert facts["executor"] == "PatientCeleryExecutor"
    assert facts["waiting"] == {"seconds": 7 * 24 * 3600, "scope": "workload", "sub": "one"}


def test_other_tokens_live_as_airflow_says(facts: dict[str, Any]) -> None:
    """A task that runs has one of ten minutes, or of the time that was asked for."""
    assert facts["running"] == {"seconds": RUNNING, "scope": None, "sub": "one"}
    assert facts["short"]["seconds"] == 7
    assert facts["same"]
