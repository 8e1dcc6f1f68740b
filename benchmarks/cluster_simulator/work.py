"""Workloads: the tiers of a plan as rows of task lengths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seuron.cluster.costs.estimates import TierWork
from seuron.engine.plan import Plan
from seuron.engine.queues import MANAGER, TierName

from .world import World


@dataclass(frozen=True)
class SimulatedTier:
    """Tasks that may run at once; the next tier begins when all have ended. `seconds` are planned."""

    stage: str
    queue: str
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class Workload:
    """What a run has to do, tier by tier."""

    name: str
    tiers: tuple[SimulatedTier, ...]

    @property
    def tasks(self) -> int:
        return sum(len(tier.seconds) for tier in self.tiers)

    def work(self) -> list[TierWork]:
        """The tiers as the estimate of a run's cost wants them."""
        return [TierWork(t.queue, len(t.seconds), sum(t.seconds), max(t.seconds)) for t in self.tiers]


def workload_of(
    name: str, plan: Plan, queues: Mapping[TierName, str], speed: Mapping[str, float], start_seconds: float = 3.0
) -> Workload:
    """The workload of a plan whose tiers go to `queues`, as `planning.queues.assign` says.

    `speed` says how many times as fast as the plan's one core a slot of a queue is. Each task takes
    `start_seconds` besides: the process of an Airflow task, and opening its layers. Tasks of the manager are
    left out, because no policy changes anything about them.
    """
    tiers = []
    for tasks in plan.tiers():
        queue = queues[tasks[0].stage, tasks[0].tier]
        if queue == MANAGER:
            continue
        seconds = tuple(start_seconds + task.seconds / speed.get(queue, 1.0) for task in tasks)
        tiers.append(SimulatedTier(tasks[0].stage, queue, seconds))
    return Workload(name, tuple(tiers))


def actual_seconds(workload: Workload, world: World, seed: int) -> list[NDArray[np.float64]]:
    """How long each task really takes, tier by tier: drawn once, so that every policy has the same tasks.

    The mean is the planned one, but for stragglers.
    """
    chance = np.random.default_rng([seed, 1])
    found = []
    for tier in workload.tiers:
        count, sigma = len(tier.seconds), world.duration_sigma
        spread = chance.lognormal(-sigma * sigma / 2, sigma, count)
        straggling = np.where(chance.random(count) < world.straggler_share, world.straggler_factor, 1.0)
        found.append(np.array(tier.seconds) * spread * straggling)
    return found
