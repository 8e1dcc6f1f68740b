"""The nouns of a cluster, and what a driver must be able to do.

A *queue* is a kind of work (`cpu`, `memory`, `gpu`). A *group* is a set of equal instances in one
zone that serve one queue; several groups may serve the same one, spot and on-demand, here and there.
An *instance* is one machine: it runs one worker, which does `slots` tasks at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

#: `starting`: asked for, not yet running. `stopping`: being removed; it may still be paid for.
InstanceState = Literal["starting", "running", "stopping"]
#: Why a group did not become as large as asked: no machines of its kind in the zone, the project's
#: quota is used up, or anything else that the provider said.
ShortageKind = Literal["no_stock", "quota", "other"]


@dataclass(frozen=True)
class Group:
    """Equal instances in one zone that serve one queue.

    `name` is unique in a cluster. `memory_bytes` is what one of the `slots` may take, `price` what an
    instance costs in dollars an hour.
    """

    name: str
    queue: str
    zone: str
    slots: int
    memory_bytes: int
    max_size: int
    price: float
    spot: bool = False
    gpus: int = 0

    @property
    def slot_price(self) -> float:
        """Dollars an hour of one slot."""
        return self.price / self.slots

    @property
    def gpus_of_slot(self) -> int:
        """GPUs that a slot sees: its share, at least one where the machine has any (slots then share it)."""
        return max(1, self.gpus // self.slots) if self.gpus else 0


@dataclass(frozen=True)
class Instance:
    """One machine of a group. `created` is in seconds since 1970."""

    name: str
    group: str
    state: InstanceState
    created: float


@dataclass(frozen=True)
class Shortage:
    """What a provider said when it could not make an instance, and when (seconds since 1970)."""

    group: str
    kind: ShortageKind
    message: str
    time: float


@dataclass(frozen=True)
class WorkerReport:
    """What the worker of an instance said of itself last (`seuron worker` writes it, some seconds apart).

    `running` is how many tasks it does, `oldest` the seconds that the longest of them has taken.
    `accepting` is False once it was drained. `disk` and `memory` are the shares in use.
    """

    instance: str
    time: float
    running: int
    oldest: float
    accepting: bool
    disk: float
    memory: float


class Driver(Protocol):
    """What the cluster needs of a provider. Every call may raise ComputeError; all may be repeated.

    `resize` and `delete` ask and return: what came of it is seen in `instances`.
    """

    def instances(self, group: str) -> Sequence[Instance]:
        """The instances that a group has now, those being made and removed among them."""
        ...

    def target(self, group: str) -> int:
        """The size that was asked for last."""
        ...

    def resize(self, group: str, size: int) -> None:
        """Ask for a group of `size`, which may take back what was asked for and has not been begun with.

        A smaller one than it has instances is had by `delete` only, so that no busy one is hit.
        """
        ...

    def delete(self, group: str, names: Sequence[str]) -> None:
        """Remove these instances and lower the target by as many; names that are gone are passed over."""
        ...

    def shortages(self, group: str) -> Sequence[Shortage]:
        """What kept the group from growing, as far back as the provider remembers."""
        ...
