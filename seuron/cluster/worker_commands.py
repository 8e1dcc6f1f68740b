"""What the machines of a group run, whoever makes them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from seuron.cluster.config_models import SecretName, SecretTable
from seuron.cluster.groups import Group
from seuron.cluster.machine_types import GIB

#: The settings of Airflow that read each secret, by its file.
SECRET_SETTINGS = {
    "broker": "AIRFLOW__CELERY__BROKER_URL",
    "results": "AIRFLOW__CELERY__RESULT_BACKEND",
    "database": "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "jwt": "AIRFLOW__API_AUTH__JWT_SECRET",
}
#: Tasks reach the database through the API server, so workers get no password for it.
MANAGER_ONLY = frozenset({"database"})
#: Stands for the instance's name in a command.
INSTANCE = "{instance}"
#: Environment variable of a worker: its group.
GROUP_VARIABLE = "SEURON_GROUP"


def worker_command(group: Group) -> list[str]:
    """What a worker runs; `INSTANCE` in it stands for the instance's name."""
    words = ["seuron", "worker", "--queue", group.queue, "--slots", str(group.slots), "--name", INSTANCE]
    # So that what a worker reports is what the plan was made for.
    words += ["--memory", f"{group.memory_bytes / GIB:.3f}"]
    return [*words, "--gpus", str(group.gpus_of_slot)]


def secret_environment(secrets: Mapping[SecretName, SecretTable], folder: str | None = None) -> dict[str, str]:
    """Settings that make Airflow read secrets from their files, in `folder` or where they lie."""
    places = {name: f"{folder}/{name}" if folder else table.file for name, table in secrets.items()}
    return {
        f"{SECRET_SETTINGS[name]}_CMD": f"cat {shlex.quote(place)}"
        for name, place in places.items()
        if place is not None
    }
