"""Small clusters for tests, as parsed files, and connections to the stand-in for Compute Engine."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seuron.cluster.config import Cluster, parse_cluster
from seuron.cluster.google.client import Connection, Patience

#: Tests wait for nothing longer than they must.
PATIENCE = Patience(answer=5.0, tries=10.0, operation=20.0, first_pause=0.02)

GOOGLE: dict[str, Any] = {
    "name": "tissue",
    "provider": "google",
    "google": {
        "project": "p",
        "region": "us-east1",
        "service_account": "seuron@p.iam.gserviceaccount.com",
        "network": "net",
        "create_network": True,
        "create_firewall": True,
        "ssh_from": ["35.235.240.0/20"],
    },
    "images": {"container": "registry.example/seuron:1"},
    "manager": {"zone": "us-east1-b", "command": ["serve"]},
    "secrets": {"broker": {"file": "/secrets/broker"}},
    "queues": [{"name": "cpu"}],
    "groups": [
        {
            "name": "spot",
            "queue": "cpu",
            "zone": "us-east1-b",
            "machine_type": "e2-standard-8",
            "slots": 8,
            "max_size": 10,
            "spot": True,
        },
        {
            "name": "sure",
            "queue": "cpu",
            "zone": "us-east1-c",
            "machine_type": "e2-standard-8",
            "slots": 4,
            "max_size": 5,
        },
    ],
}


def google_document(endpoint: str = "") -> dict[str, Any]:
    """A file of two groups in two zones, to be changed as a test likes."""
    document = copy.deepcopy(GOOGLE)
    document["google"]["endpoint"] = endpoint
    return document


def google_cluster(endpoint: str = "", **changes: Any) -> Cluster:
    """The cluster of that file; `changes` replace whole tables."""
    return parse_cluster({**google_document(endpoint), **changes}, Path.cwd())


def connection(endpoint: str, patience: Patience = PATIENCE) -> Connection:
    """A connection that gives up soon."""
    return Connection("p", endpoint=endpoint, patience=patience)


def wait_for(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Return once the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
