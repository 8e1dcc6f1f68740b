"""The pending work of a run's tiers, as `prepare` stores it for the scaling of the cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from seuron.cluster.cluster_state import QueueDepth
from seuron.engine.queues import MANAGER


class NodeWork(TypedDict):
    """The queue of a node, its tasks that are not finished, and the mean of their planned seconds."""

    queue: str
    tasks: int
    seconds: float


def first_pending_work(work: Mapping[str, NodeWork], nodes: Sequence[str]) -> dict[str, QueueDepth]:
    """The work that is ready first among these nodes, which run one after the other; nothing where all is finished."""
    for node in nodes:
        found = work.get(node)
        if found and found["tasks"] and found["queue"] != MANAGER:
            return {found["queue"]: QueueDepth(found["tasks"], 0, planned_seconds=found["seconds"])}
    return {}
