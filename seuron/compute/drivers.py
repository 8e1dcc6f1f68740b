"""The driver of a cluster, by its provider."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from seuron.compute.cluster_file import Cluster
from seuron.compute.groups import Driver
from seuron.errors import ParameterErrors

if TYPE_CHECKING:
    from seuron.compute.google_client import Connection, Patience
    from seuron.compute.google_driver import GoogleGroups
    from seuron.compute.process_driver import ProcessGroups


@contextmanager
def driver(cluster: Cluster) -> Iterator[Driver]:
    """What makes and removes the cluster's instances, for a block. Nobody is asked anything yet."""
    if cluster.provider == "processes":
        yield process_groups(cluster)
        return
    with connection_of(cluster) as connection:
        yield _google_groups(cluster, connection)


def load_library(cluster: Cluster) -> None:
    """Import what the cluster's driver uses, so that the forks of this process have it. It starts no thread.

    Google's library takes 5 s of a core, of the 6 s of a step that finds nothing loaded.
    """
    if cluster.provider == "google":
        import_module("google.cloud.compute_v1")


def _google_groups(cluster: Cluster, connection: Connection) -> GoogleGroups:
    from seuron.compute.google_driver import GoogleGroups

    return GoogleGroups(connection, cluster.name, {group.name: group.zone for group in cluster.groups})


def connection_of(cluster: Cluster, patience: Patience | None = None) -> Connection:
    """The connection to the project of a cluster on Google."""
    from seuron.compute.google_client import Connection

    google = cluster.tables.google
    if google is None:
        raise ParameterErrors(["provider = 'google' needs a table [google]"], "the cluster's file")
    credentials = cluster.path(google.credentials_file) if google.credentials_file else None
    return Connection(google.project, credentials, google.endpoint, patience)


def process_groups(cluster: Cluster, environment: Mapping[str, str] | None = None) -> ProcessGroups:
    """The groups of a cluster on this machine; `environment` is added to that of its workers."""
    from seuron.compute.process_driver import ProcessGroups
    from seuron.compute.worker_commands import INSTANCE, MANAGER_ONLY, secret_environment, worker_command

    def command(group: str, instance: str) -> list[str]:
        words = worker_command(cluster.group(group))[1:]
        return [sys.executable, "-m", "seuron.cli", *(instance if word == INSTANCE else word for word in words)]

    secrets = {name: table for name, table in cluster.secrets.items() if name not in MANAGER_ONLY}
    settings = cluster.tables.processes
    return ProcessGroups(
        cluster.path(settings.folder) / cluster.name,
        [group.name for group in cluster.groups],
        command,
        {**cluster.tables.worker.environment, **secret_environment(secrets), **(environment or {})},
        settings.stop_seconds,
    )
