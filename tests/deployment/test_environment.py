"""The environment of Airflow's processes: nothing from the caller's shell, nothing beyond this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from seuron.cluster.local_machine import LocalMachine
from seuron.deployment.environment import ADDRESS, MAX_MAP_LENGTH, service_environment
from seuron.deployment.home import Home
from seuron.deployment.postgres import socket_folder
from seuron.engine.plan import MAX_TIER_TASKS


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The scheduler's environment, made in a shell that already talks to another Airflow."""
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("AIRFLOW_CONN_ELSEWHERE", "http://elsewhere")
    return service_environment(Home(tmp_path), "scheduler", 8123, tmp_path / "socket", LocalMachine(cores=4, gpus=0))


def test_settings_of_the_shell_stay_outside(environment: dict[str, str]) -> None:
    """Another Airflow's settings in the shell would change this one."""
    assert "LocalExecutor" in environment["AIRFLOW__CORE__EXECUTOR"]
    assert "AIRFLOW_CONN_ELSEWHERE" not in environment


def test_everything_is_on_this_machine(environment: dict[str, str], tmp_path: Path) -> None:
    """The server listens on the loopback only, as nothing is encrypted; the database on a socket."""
    assert environment["AIRFLOW__API__HOST"] == ADDRESS == "127.0.0.1"
    assert f"host={tmp_path / 'socket'}" in environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert environment["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"


def test_a_task_has_one_thread(environment: dict[str, str]) -> None:
    """The plan has a task for every core; threads on top would only get in each other's way."""
    assert environment["OMP_NUM_THREADS"] == environment["NUMBA_NUM_THREADS"] == "1"
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"


def test_every_plan_can_be_expanded() -> None:
    """Airflow refuses a mapped task above its limit, which must not be below the widest tier."""
    assert MAX_MAP_LENGTH > MAX_TIER_TASKS


def test_pools_follow_the_machine() -> None:
    """A pool for each need; work for a GPU runs on the cores where there is none."""
    assert LocalMachine(cores=4, gpus=0).pools == {"cpu": 4, "gpu": 4, "memory": 2, "manager": 2}
    assert LocalMachine(cores=1, gpus=2).pools == {"cpu": 1, "gpu": 2, "memory": 1, "manager": 2}


def test_the_socket_has_a_short_name(tmp_path: Path) -> None:
    """Unix allows about a hundred bytes for a socket's path, and users like deep folders."""
    deep = tmp_path / ("deep" * 40)
    assert socket_folder(Path("/data/seuron/postgres")) == Path("/data/seuron/postgres")
    assert len(str(socket_folder(deep) / ".s.PGSQL.5432")) < 104
    assert socket_folder(deep) != socket_folder(deep / "other")
