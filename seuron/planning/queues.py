"""What queues offer to the tasks of a plan."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class QueueOffer:
    """What one slot of a queue has: a task that needs more must go elsewhere."""

    name: str
    memory_bytes: int
    gpus: int
