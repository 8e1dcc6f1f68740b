"""What Google's machines run when they start and when they are about to go.

The scripts hold no secret: a machine fetches those of `[secrets]` from Secret Manager, as its own
service account, into files that only the container sees.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from textwrap import dedent

from seuron.cluster.config import Cluster
from seuron.cluster.config_models import GroupTable, ManagerTable, SecretName, SecretTable
from seuron.cluster.google.driver import group_resource
from seuron.cluster.worker_commands import GROUP_VARIABLE, INSTANCE, MANAGER_ONLY, secret_environment, worker_command
from seuron.errors import ParameterErrors

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
    # The token goes in by a file, so that no list of processes shows it.
    asking() {{ curl -sf -H @<(echo "Authorization: Bearer $(access)") "$@"; }}
    access() {{ metadata service-accounts/default/token | sed -n 's/.*"access_token": *"\\([^"]*\\)".*/\\1/p'; }}
    fetch() {{
      until asking "https://secretmanager.googleapis.com/v1/$1/versions/latest:access" \\
          | sed -n 's/.*"data": *"\\([^"]*\\)".*/\\1/p' | base64 -d > "$2" && test -s "$2"; do sleep 5; done
    }}
    NAME=$(metadata name)
"""


def worker_metadata(cluster: Cluster, group: GroupTable) -> dict[str, str]:
    """The metadata of a group's machines: their scripts, and the bare command of the worker."""
    secrets = {name: table for name, table in cluster.secrets.items() if name not in MANAGER_ONLY}
    environment = {GROUP_VARIABLE: group.name, **cluster.worker.environment}
    command = worker_command(cluster.group(group.name))
    run = _run_container(
        "seuron-worker",
        group.container or cluster.images.container,
        command,
        {**environment, **secret_environment(secrets, "/run/seuron-secrets")},
        "--gpus all" if group.all_gpus else "",
    )
    return {
        "startup-script": _beginning(secrets) + run + "\n" + _leave(cluster, group),
        "shutdown-script": f"#!/bin/bash\ndocker stop -t {STOP_SECONDS} seuron-worker\n",
        "seuron-command": json.dumps(command),
        "seuron-environment": json.dumps(environment, sort_keys=True),
    }


def manager_metadata(cluster: Cluster, manager: ManagerTable, data_disk: str) -> dict[str, str]:
    """The metadata of the manager: its disk of data is mounted, and its services are kept running."""
    secrets = cluster.secrets
    disk = f"/dev/disk/by-id/google-{data_disk}"
    mount = f"blkid {disk} || mkfs.ext4 -q {disk}\nmount {disk} $HOME/data\nchmod 1777 $HOME/data\n"
    services = _manager_script(cluster, manager.script) if manager.script else _manager_container(cluster, manager)
    again = f"while true; do\n{services}\nsleep 10\ndone\n"
    return {"startup-script": _beginning(secrets) + mount + again, "seuron-command": json.dumps(list(manager.command))}


def _manager_container(cluster: Cluster, manager: ManagerTable) -> str:
    return _run_container(
        "seuron-manager",
        manager.container or cluster.images.container,
        list(manager.command),
        {**cluster.worker.environment, **secret_environment(cluster.secrets, "/run/seuron-secrets")},
        "-v $HOME/data:/var/lib/seuron/data",
    )


def _manager_script(cluster: Cluster, script: str) -> str:
    """The user's own commands, in a shell of their own."""
    file = cluster.path(script)
    try:
        return f"(\n{file.read_text()}\n)"
    except OSError as error:
        raise ParameterErrors(
            [f"`manager.script`: cannot read {file}: {error.strerror}; give the path of a file with shell commands"],
            "the cluster's file",
        ) from error


def _beginning(secrets: Mapping[SecretName, SecretTable]) -> str:
    lines = [dedent(_BEGINNING)]
    for name, secret in sorted(secrets.items()):
        target = f"$HOME/secrets/{name}"
        if secret.resource is not None:
            lines.append(f"fetch {shlex.quote(secret.resource)} {target}\n")
        elif secret.file is not None:
            lines.append(f"cp {shlex.quote(secret.file)} {target}\n")
    # The container may run as any user, so the files are open; the folder above them is closed to all but root.
    lines.append("chmod 755 $HOME/secrets; chmod 444 $HOME/secrets/* 2>/dev/null\n")
    return "".join(lines)


def _run_container(name: str, image: str, command: list[str], environment: Mapping[str, str], options: str) -> str:
    """Lines that run the image in the foreground."""
    variables = " ".join(f"-e {shlex.quote(f'{key}={value}')}" for key, value in sorted(environment.items()))
    words = " ".join('"$NAME"' if word == INSTANCE else shlex.quote(word) for word in command)
    registry = shlex.quote(image.partition("/")[0])
    log_in = f"docker-credential-gcr configure-docker --registries={registry}"
    return (
        f"command -v docker-credential-gcr >/dev/null && {log_in}\n"
        f"docker rm -f {name} >/dev/null 2>&1\n"
        f"docker run --name {name} --network host {options} -v $HOME/secrets:/run/seuron-secrets:ro "
        f"{variables} {shlex.quote(image)} {words}\n"
    )


def _leave(cluster: Cluster, group: GroupTable) -> str:
    """A worker that ended takes its machine away; just stopping it would make the group start it again."""
    google = cluster.google
    project = google.project if google else ""
    resource = group_resource(cluster.name, group.name)
    place = f"projects/{project}/zones/{group.zone}/instanceGroupManagers/{resource}"
    return dedent(f"""\
        for attempt in 1 2 3 4 5; do
          asking -X POST -H "Content-Type: application/json" \\
            -d "{{\\"instances\\": [\\"zones/{group.zone}/instances/$NAME\\"]}}" \\
            "https://compute.googleapis.com/compute/v1/{place}/deleteInstances" && break
          sleep 20
        done
        shutdown -h now
        """)
