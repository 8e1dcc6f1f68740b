"""A running stand-in for Compute Engine, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clusters import connection, google_cluster
from compute_engine.server import ComputeEngine

from seuron.compute.google_client import Connection
from seuron.compute.google_driver import GoogleGroups
from seuron.compute.google_layout import desired_resources
from seuron.compute.google_resources import GoogleResources
from seuron.compute.resources import plan_changes


@pytest.fixture
def engine() -> Iterator[ComputeEngine]:
    """An empty project."""
    with ComputeEngine() as engine:
        yield engine


@pytest.fixture
def client(engine: ComputeEngine) -> Iterator[Connection]:
    """The real client library, pointed at the stand-in."""
    with connection(engine.url) as client:
        yield client


@pytest.fixture
def resources(client: Connection) -> GoogleResources:
    """The resources of the cluster `tissue`, of which there are none yet."""
    return GoogleResources(client, "tissue")


@pytest.fixture
def groups(client: Connection, resources: GoogleResources) -> GoogleGroups:
    """The driver of a cluster that was made: groups `spot` and `sure`, both empty."""
    resources.apply(plan_changes(desired_resources(google_cluster()), ()))
    return GoogleGroups(client, "tissue", {"spot": "us-east1-b", "sure": "us-east1-c"})
