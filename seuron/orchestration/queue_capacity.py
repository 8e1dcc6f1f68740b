"""What queues there are for a run: from the cluster's file, from the workers that report, or this machine's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf

from seuron.cluster.config import read_cluster
from seuron.cluster.local_machine import LocalMachine
from seuron.cluster.names import CLUSTER_VARIABLE
from seuron.engine.plan import Plan
from seuron.engine.queues import MANAGER, QueueCapacity, TierName, assign, needs
from seuron.orchestration.routing import Routes, node

if TYPE_CHECKING:
    from seuron.cluster.workers import BrokerWorkers


def routes_of(plan: Plan, kept: Mapping[str, Any]) -> Routes:
    """Where the tasks of each tier go; raises QueueErrors for all tiers that no queue takes.

    `kept` are the routes that an earlier try of `prepare` stored: they stay.
    """
    before: dict[TierName, str] = {tier: kept[node(*tier)][0] for tier in needs(plan) if node(*tier) in kept}
    machine = None if uses_celery() else LocalMachine.this()
    queues = assign(plan, machine.capacities if machine else celery_capacities(), before)
    wanted = needs(plan)
    slots = {tier: machine.slots(queue, wanted[tier].memory_bytes) if machine else 1 for tier, queue in queues.items()}
    return {node(*tier): (queue, slots[tier]) for tier, queue in queues.items()}


def tasks_at_once() -> int | None:
    """How many tasks of a run can run at the same time; None where that is the number of this machine's cores."""
    if not uses_celery():
        return None
    path = os.environ.get(CLUSTER_VARIABLE)
    groups = read_cluster(path).groups if path else ()
    return max(_workers().slots(), sum(group.slots * group.max_size for group in groups if not group.gpus))


def uses_celery() -> bool:
    """Whether tasks go to workers elsewhere, by their queues."""
    return "celery" in str(conf.get("core", "executor")).lower()


def celery_capacities() -> list[QueueCapacity]:
    """The queues of the cluster's groups, which may have no instance now, and those of workers that report."""
    # Whoever asks runs on the manager's queue, so it is served.
    offers = [QueueCapacity(MANAGER, 0), *_workers().capacities()]
    if path := os.environ.get(CLUSTER_VARIABLE):
        offers += read_cluster(path).capacities
    return offers


def _workers() -> BrokerWorkers:
    from seuron.cluster.workers import BrokerWorkers  # needs celery, which one machine does without

    return BrokerWorkers(str(conf.get("celery", "broker_url")))
