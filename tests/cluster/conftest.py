"""A running stand-in for Compute Engine, and a client of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import connection, google_cluster
from compute_engine.server import ComputeEngine

from seuron.cluster.google.client import Connection
from seuron.cluster.google.driver import GoogleDriver
from seuron.cluster.google.layout import desired_resources
from seuron.cluster.google.resources import GoogleResources
from seuron.cluster.resource_plan import plan_changes

# The simulator is a benchmark's, by whatever command the tests are started.
sys.path.append(str(Path(__file__).parents[2]))


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
def groups(client: Connection, resources: GoogleResources) -> GoogleDriver:
    """The driver of a cluster that was made: groups `spot` and `sure`, both empty."""
    resources.apply(plan_changes(desired_resources(google_cluster()), ()))
    return GoogleDriver(client, "tissue", {"spot": "us-east1-b", "sure": "us-east1-c"})
