"""What acts for a cluster, by its provider: the driver of its groups, and what makes and removes all of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from seuron.cluster.config import Cluster
from seuron.cluster.groups import Driver
from seuron.cluster.resource_plan import Change
from seuron.errors import ParameterErrors

if TYPE_CHECKING:
    from seuron.cluster.google.client import Connection
    from seuron.cluster.processes.driver import ProcessDriver

OnChange = Callable[[str], None]


class Resources(Protocol):
    """Everything that a cluster consists of at its provider. Every call may raise ComputeError."""

    def plan(self, cluster: Cluster) -> tuple[Change, ...]:
        """What makes it as its file says."""
        ...

    def apply(self, changes: Sequence[Change], on_change: OnChange) -> None:
        """Do a plan; raises ComputeError with all that failed, and can be done again."""
        ...

    def plan_removal(self) -> tuple[Change, ...]:
        """What removes all that there is, whatever the file says now."""
        ...

    def remove(self, on_change: OnChange) -> None:
        """Remove everything; raises ComputeError when anything is left."""
        ...


@contextmanager
def driver(cluster: Cluster) -> Iterator[Driver]:
    """What makes and removes the cluster's instances, for a block. Nobody is asked anything yet."""
    if cluster.provider == "processes":
        yield process_groups(cluster)
        return
    from seuron.cluster.google.driver import GoogleDriver

    with _connection(cluster) as connection:
        yield GoogleDriver(connection, cluster.name, {group.name: group.zone for group in cluster.groups})


@contextmanager
def resources_of(cluster: Cluster) -> Iterator[Resources]:
    """What makes and removes the cluster, for a block."""
    if cluster.provider == "processes":
        yield process_groups(cluster)
        return
    from seuron.cluster.google.resources import GoogleResources

    with _connection(cluster) as connection:
        yield GoogleResources(connection, cluster.name)


def load_library(cluster: Cluster) -> None:
    """Import what the cluster's driver uses, so that the forks of this process have it. It starts no thread.

    Google's library takes 5 s of a core, of the 6 s of a step that finds nothing loaded.
    """
    if cluster.provider == "google":
        import_module("google.cloud.compute_v1")


def _connection(cluster: Cluster) -> Connection:
    from seuron.cluster.google.client import Connection

    google = cluster.google
    if google is None:
        raise ParameterErrors(["provider = 'google' needs a table [google]"], "the cluster's file")
    credentials = cluster.path(google.credentials_file) if google.credentials_file else None
    return Connection(google.project, credentials, google.endpoint)


def process_groups(cluster: Cluster, environment: Mapping[str, str] | None = None) -> ProcessDriver:
    """The groups of a cluster on this machine; `environment` is added to that of its workers."""
    from seuron.cluster.processes.driver import ProcessDriver
    from seuron.cluster.worker_commands import INSTANCE, MANAGER_ONLY, secret_environment, worker_command

    def command(group: str, instance: str) -> list[str]:
        words = worker_command(cluster.group(group))[1:]
        return [sys.executable, "-m", "seuron.cli", *(instance if word == INSTANCE else word for word in words)]

    secrets = {name: table for name, table in cluster.secrets.items() if name not in MANAGER_ONLY}
    return ProcessDriver(
        cluster.path(cluster.processes.folder) / cluster.name,
        [group.name for group in cluster.groups],
        command,
        {**cluster.worker.environment, **secret_environment(secrets), **(environment or {})},
        cluster.processes.stop_seconds,
    )
