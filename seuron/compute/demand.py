"""How many slots a queue should have: by the work that is ready, not by the number of tasks."""

from __future__ import annotations

import math

from seuron.compute.settings import PolicySettings
from seuron.compute.situation import QueueDepth


def slots_to_grow_to(depth: QueueDepth, settings: PolicySettings) -> int:
    """Slots that do a queue's work within `target_seconds`; one at least where a task is ready, else none.

    Never more than there are tasks, nor more than the scheduler keeps busy: by Little's law as many
    as it starts while one task runs. An instance more must be worth its boot and the least time that
    is paid for; it is, because `target_seconds`, which each slot works, is longer than both.
    """
    if not depth.ready:
        return 0
    work = (depth.ready + depth.running / 2) * _seconds(depth, settings)
    return max(1, min(depth.tasks, _startable(depth, settings), math.ceil(work / settings.target_seconds)))


def slots_in_use(depth: QueueDepth, settings: PolicySettings) -> int:
    """Slots above which there is no use for more: a queue is shrunk to no less.

    It is more than the slots that a queue is grown to: were it shrunk to these while its work grows
    less, the last tasks would never be done in time.
    """
    return min(depth.tasks, max(depth.running, 2 * _startable(depth, settings)))


def _seconds(depth: QueueDepth, settings: PolicySettings) -> float:
    return depth.task_seconds or settings.assumed_seconds


def _startable(depth: QueueDepth, settings: PolicySettings) -> int:
    return max(1, math.ceil(settings.starts_per_second * _seconds(depth, settings)))
