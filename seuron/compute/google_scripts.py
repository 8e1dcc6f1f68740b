"""What Google's machines run when they start and when they are about to go.

The scripts hold no secret: a machine fetches those of `[secrets]` from Secret Manager, as its own
service account, into files that only the container sees.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from textwrap import dedent

from seuron.compute.cluster_file import Cluster
from seuron.compute.cluster_tables import GroupTable, ManagerTable, SecretTable
from seuron.compute.google_driver import group_resource

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
#: The time that a spot machine has from its notice to its end is 30 s.
STOP_SECONDS = 25

_METADATA = "http://metadata.google.internal/computeMetadata/v1/instance"
_BEGINNING = f"""\
    #!/bin/bash
    set -uo pipefail
    umask 077
    export HOME=/var/lib/seuron
    mkdir -p $HOME/secrets $HOME/data
    metadata() {{ curl -sf -H Metadata-Flavor:Google {_METADATA}/$1; }}
    access() {{ metadata service-accounts/default/token | sed -n 's/.*"access_token": *"\\([^"]*\\)".*/\\1/p'; }}
    fetch() {{
      until curl -sf -H "Authorization: Bearer $(access)" \\
          "https://secretmanager.googleapis.com/v1/$1/versions/latest:access" \\
          | sed -n 's/.*"data": *"\\([^"]*\\)".*/\\1/p' | base64 -d > "$2" && test -s "$2"; do sleep 5; done
    }}
    NAME=$(metadata name)
"""


def worker_command(group: GroupTable) -> list[str]:
    """What a worker runs; `INSTANCE` in it stands for the instance's name."""
    return ["seuron", "worker", "--queue", group.queue, "--slots", str(group.slots), "--name", INSTANCE]


def secret_environment(secrets: Mapping[str, SecretTable], folder: str | None = None) -> dict[str, str]:
    """Settings that make Airflow read secrets from their files, in `folder` or where they lie."""
    places = {name: f"{folder}/{name}" if folder else table.file for name, table in secrets.items()}
    return {
        f"{SECRET_SETTINGS[name]}_CMD": f"cat {shlex.quote(place)}"
        for name, place in places.items()
        if place is not None
    }


def worker_metadata(cluster: Cluster, group: GroupTable) -> dict[str, str]:
    """The metadata of a group's machines: their scripts, and the bare command of the worker."""
    secrets = {name: table for name, table in cluster.tables.secrets.items() if name not in MANAGER_ONLY}
    environment = {"SEURON_GROUP": group.name, **cluster.tables.worker.environment}
    run = _run_container(
        "seuron-worker",
        group.container or cluster.tables.images.container,
        worker_command(group),
        {**environment, **secret_environment(secrets, "/run/seuron-secrets")},
        "--gpus all" if cluster.machine(group).gpus or group.gpus else "",
    )
    return {
        "startup-script": _beginning(secrets) + run + "\n" + _leave(cluster, group),
        "shutdown-script": f"#!/bin/bash\ndocker stop -t {STOP_SECONDS} seuron-worker\n",
        "seuron-command": json.dumps(worker_command(group)),
        "seuron-environment": json.dumps(environment, sort_keys=True),
    }


def manager_metadata(cluster: Cluster, manager: ManagerTable, data_disk: str) -> dict[str, str]:
    """The metadata of the manager: its disk of data is mounted, and its container kept running."""
    secrets = cluster.tables.secrets
    disk = f"/dev/disk/by-id/google-{data_disk}"
    mount = f"blkid {disk} || mkfs.ext4 -q {disk}\nmount {disk} $HOME/data\n"
    run = _run_container(
        "seuron-manager",
        manager.container or cluster.tables.images.container,
        list(manager.command),
        {**cluster.tables.worker.environment, **secret_environment(secrets, "/run/seuron-secrets")},
        "-v /var/lib/seuron/data:/var/lib/seuron/data",
    )
    again = f"while true; do\n{run}\nsleep 10\ndone\n"
    return {"startup-script": _beginning(secrets) + mount + again, "seuron-command": json.dumps(list(manager.command))}


def _beginning(secrets: Mapping[str, SecretTable]) -> str:
    lines = [dedent(_BEGINNING)]
    for name, secret in sorted(secrets.items()):
        target = f"$HOME/secrets/{name}"
        if secret.resource is not None:
            lines.append(f"fetch {shlex.quote(secret.resource)} {target}\n")
        elif secret.file is not None:
            lines.append(f"cp {shlex.quote(secret.file)} {target}\n")
    # The container may run as any user; the folder itself is closed to all but root.
    lines.append("chmod 444 $HOME/secrets/* 2>/dev/null; chmod 711 $HOME $HOME/data\n")
    return "".join(lines)


def _run_container(name: str, image: str, command: list[str], environment: Mapping[str, str], options: str) -> str:
    """Lines that run the image in the foreground."""
    variables = " ".join(f"-e {shlex.quote(f'{key}={value}')}" for key, value in sorted(environment.items()))
    words = " ".join('"$NAME"' if word == INSTANCE else shlex.quote(word) for word in command)
    registry = shlex.quote(image.partition("/")[0])
    return (
        f"command -v docker-credential-gcr >/dev/null && docker-credential-gcr configure-docker --registries={registry}\n"
        f"docker rm -f {name} >/dev/null 2>&1\n"
        f"docker run --name {name} --network host {options} -v $HOME/secrets:/run/seuron-secrets:ro "
        f"{variables} {shlex.quote(image)} {words}\n"
    )


def _leave(cluster: Cluster, group: GroupTable) -> str:
    """A worker that ended takes its machine away; just stopping it would make the group start it again."""
    google = cluster.tables.google
    project = google.project if google else ""
    resource = group_resource(cluster.name, group.name)
    return dedent(f"""\
        for attempt in 1 2 3 4 5; do
          curl -sf -X POST -H "Authorization: Bearer $(access)" -H "Content-Type: application/json" \\
            -d "{{\\"instances\\": [\\"zones/{group.zone}/instances/$NAME\\"]}}" \\
            "https://compute.googleapis.com/compute/v1/projects/{project}/zones/{group.zone}/instanceGroupManagers/{resource}/deleteInstances" && break
          sleep 20
        done
        shutdown -h now
        """)
