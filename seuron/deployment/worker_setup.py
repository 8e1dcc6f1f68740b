"""How workers join a deployment: Airflow's settings, what their slots offer, and who starts those of a cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seuron.cluster.config import Cluster
from seuron.cluster.drivers import driver, process_groups
from seuron.cluster.groups import Driver
from seuron.cluster.local_machine import LocalMachine
from seuron.cluster.workers import WorkerService
from seuron.deployment.control import Deployment
from seuron.deployment.environment import CELERY_SETTINGS, TASK_THREADS, as_variables, broker_url
from seuron.deployment.worker import WorkerSettings
from seuron.errors import ParameterErrors

#: The service that instances on this machine are: none of the supervisor's, which may restart without ending them.
INSTANCES = "instances"


def worker_environment(name: str) -> dict[str, str]:
    """Of the deployment on this machine, unless the environment names a broker.

    Then it is that environment, and what it does not say about Celery is as in the embedded deployment.
    """
    if any(variable.startswith("AIRFLOW__CELERY__BROKER_URL") for variable in os.environ):
        # Airflow renames its processes; without the last one the new name overwrites their environment.
        return {**as_variables(CELERY_SETTINGS), **os.environ, **TASK_THREADS, "SPT_NOENV": "1"}
    return Deployment().worker_environment(name)


@contextmanager
def cluster_driver(cluster: Cluster) -> Iterator[Driver]:
    """The driver of this deployment's cluster.

    Processes that it starts get the environment of a worker that was started by hand: in a task of Airflow, which
    may be where this is called, the address of the database is not the real one.
    """
    if cluster.provider == "processes":
        yield process_groups(cluster, Deployment().worker_environment(INSTANCES))
        return
    with driver(cluster) as made:
        yield made


def worker_settings(
    name: str,
    queues: tuple[str, ...],
    slots: int,
    environment: dict[str, str],
    *,
    memory_gib: float | None = None,
    gpus: int | None = None,
) -> WorkerSettings:
    """What is not given follows from the machine: each slot has an equal share of it."""
    if not queues:
        raise ParameterErrors(["--queue: give at least one queue, such as cpu"])
    machine = LocalMachine.this()
    memory = int(memory_gib * 2**30) if memory_gib is not None else machine.memory_bytes // slots
    each = gpus if gpus is not None else min(1, machine.gpus)
    folder = Path(environment.get("AIRFLOW_HOME") or Path.home() / "airflow")
    folder.mkdir(parents=True, exist_ok=True)
    return WorkerSettings(name, WorkerService(queues, slots, memory, each), broker_url(environment), folder)
