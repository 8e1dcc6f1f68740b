"""The cluster of the embedded deployment: its records, and its end."""

from __future__ import annotations

from pathlib import Path

from seuron.cluster.config import Cluster
from seuron.cluster.drivers import driver, process_groups
from seuron.cluster.group_status import scale
from seuron.deployment.home import Home


def records_folder(home: Home | None = None) -> Path:
    """Where the steps write down what they saw and did."""
    return (home or Home.default()).folder / "cluster"


def empty_groups(cluster: Cluster) -> None:
    """Remove every instance of a cluster's groups; tasks that they do are lost, and done again some time.

    Raises ComputeError when the driver does not answer.
    """
    if cluster.provider == "processes":
        groups = process_groups(cluster)
        groups.kill(groups.found())
        return
    with driver(cluster) as made:
        for group in cluster.groups:
            scale(cluster, made, group.name, 0)
