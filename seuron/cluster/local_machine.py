"""This machine, as the only worker: what its pools are sized by, and what their slots offer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import psutil

from seuron.engine.queues import MANAGER, QueueCapacity, usable_cores

#: Tasks that may run beside the compute tasks: `prepare` and the like, which wait more than work.
MANAGER_SLOTS = 2


@dataclass(frozen=True)
class LocalMachine:
    """What the pools are sized by. `memory_bytes` is all that the machine has."""

    cores: int
    gpus: int
    memory_bytes: int = 0

    @classmethod
    def this(cls) -> LocalMachine:
        """The cores this process may use, and the NVIDIA devices that the kernel shows."""
        gpus = sum(path.name[6:].isdigit() for path in Path("/dev").glob("nvidia*"))
        return cls(usable_cores(), gpus, min(psutil.virtual_memory().total, _container_limit()))

    @property
    def pools(self) -> dict[str, int]:
        """Slots of each pool. Without a GPU, its work runs on the cores."""
        return {
            "cpu": self.cores,
            "gpu": self.gpus or self.cores,
            "memory": max(1, self.cores // 2),
            MANAGER: MANAGER_SLOTS,
        }

    @property
    def parallelism(self) -> int:
        return self.cores + MANAGER_SLOTS

    @property
    def capacities(self) -> tuple[QueueCapacity, ...]:
        """A core's share of the memory; the whole of it, for tasks that take several slots (`slots`)."""
        gpu = (QueueCapacity("gpu", self.memory_bytes // self.gpus, 1),) if self.gpus else ()
        memory = QueueCapacity("memory", self.memory_bytes)
        cpu = QueueCapacity("cpu", self.memory_bytes // self.cores)
        return (cpu, *gpu, memory, QueueCapacity(MANAGER, self.memory_bytes))

    def slots(self, queue: str, memory_bytes: int) -> int:
        """How many slots of its pool a task takes, so that tasks which run together fit into memory together."""
        if queue != "memory":
            return 1
        pool = self.pools["memory"]
        return min(pool, max(1, math.ceil(memory_bytes * pool / self.memory_bytes)))


def _container_limit() -> int:
    """The bytes that a container's processes may have together; a number above all memories where there is none."""
    for path in (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        text = path.read_text().strip() if path.exists() else ""
        if text.isdigit():
            return int(text)
    return 2**63
