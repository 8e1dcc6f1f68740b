"""Which queue each tier of a plan goes to: the smallest offer that holds its largest task.

A tier is one mapped node in Airflow, and its tasks are much alike, so it has one queue.
Pure: what is offered is found out elsewhere (a cluster's file, the workers that report, this machine).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from seuron.engine.plan import Plan, Tier, Work
from seuron.errors import PermanentError

#: The queue of the tasks that manage others. Whoever runs `prepare` serves it.
MANAGER = "manager"

#: A tier, by its stage and number.
TierName = tuple[str, int]


@dataclass(frozen=True)
class QueueCapacity:
    """What one slot of a queue has."""

    name: str
    memory_bytes: int
    gpus: int = 0


def usable_cores() -> int:
    """The cores of this machine that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Need:
    """What the largest task of a tier needs."""

    work: Work
    memory_bytes: int


class QueueErrors(PermanentError):
    """Tiers that no queue can take, all of them at once."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("no queue takes these tasks:\n" + "\n".join(f"  - {problem}" for problem in problems))


def needs(plan: Plan) -> dict[TierName, Need]:
    """The need of every tier that has tasks, by (stage, tier)."""
    return {(tier.stage, tier.number): _need(tier) for tier in plan.tiers()}


def _need(tier: Tier) -> Need:
    return Need(tier.work, tier.largest.memory_bytes)


def assign(
    plan: Plan, offers: Iterable[QueueCapacity], kept: Mapping[TierName, str] | None = None
) -> dict[TierName, str]:
    """The queue of each tier; raises QueueErrors for all tiers that fit nowhere.

    The smallest offer that fits is taken: of those that hold the memory the one with the fewest GPUs, of
    these the one with the least memory, of these the first by name. A tier of the net takes offers
    with a GPU, unless there is none. `kept` names queues that were given before: they stay where they
    still fit, and it is an error where they do not, as Airflow has written them down with the tasks.
    """
    offered = _least(offers)
    found: dict[TierName, str] = {}
    problems = []
    for tier, need in needs(plan).items():
        fitting = _fitting(need, offered)
        before = (kept or {}).get(tier)
        if before is not None and before not in {offer.name for offer in fitting}:
            problems.append(_moved(tier, need, before, offered))
        elif fitting:
            found[tier] = before or min(fitting, key=lambda offer: (offer.gpus, offer.memory_bytes, offer.name)).name
        else:
            problems.append(_unserved(tier, need, offered))
    if problems:
        raise QueueErrors(problems)
    return found


def _least(offers: Iterable[QueueCapacity]) -> list[QueueCapacity]:
    """One offer for each name: what the weakest of those that serve a queue has, as any of them may take a task."""
    least: dict[str, QueueCapacity] = {}
    for offer in offers:
        other = least.get(offer.name, offer)
        memory, gpus = min(other.memory_bytes, offer.memory_bytes), min(other.gpus, offer.gpus)
        least[offer.name] = QueueCapacity(offer.name, memory, gpus)
    return sorted(least.values(), key=lambda offer: offer.name)


def _fitting(need: Need, offered: Sequence[QueueCapacity]) -> list[QueueCapacity]:
    if need.work == "manager":  # its memory is not counted: the manager is no worker that one chooses
        return [offer for offer in offered if offer.name == MANAGER]
    workers = [offer for offer in offered if offer.name != MANAGER]
    with_gpu = [offer for offer in workers if offer.gpus]
    if need.work == "gpu" and with_gpu:
        workers = with_gpu
    return [offer for offer in workers if offer.memory_bytes >= need.memory_bytes]


def _unserved(tier: TierName, need: Need, offered: Sequence[QueueCapacity]) -> str:
    return f"{_named(tier)} needs {_wanted(need)}; offered: {_list(offered)}. {_advice(need)}"


def _moved(tier: TierName, need: Need, before: str, offered: Sequence[QueueCapacity]) -> str:
    return (
        f"{_named(tier)} needs {_wanted(need)} and was given the queue {before!r} when this run was prepared first; "
        f"offered now: {_list(offered)}. Serve that queue again, or start the run again: what is finished is kept"
    )


def _named(tier: TierName) -> str:
    return f"{tier[0]}, tier {tier[1]},"


def _wanted(need: Need) -> str:
    if need.work == "manager":
        return f"a worker of the queue {MANAGER!r}"
    return f"{_gib(need.memory_bytes)} for a task" + (" and takes a GPU where there is one" * (need.work == "gpu"))


def _list(offered: Sequence[QueueCapacity]) -> str:
    names = [
        f"{offer.name} ({_gib(offer.memory_bytes)} a slot{f', {offer.gpus} GPU' if offer.gpus else ''})"
        for offer in offered
    ]
    return ", ".join(names) or "nothing, as no worker runs"


def _advice(need: Need) -> str:
    if need.work == "manager":
        return f"Start one with `seuron worker --queue {MANAGER}`"
    return "Give a smaller `chunk_size` or `task_memory`, or serve a queue with more memory a slot"


def _gib(memory_bytes: int) -> str:
    return f"{memory_bytes / 2**30:.1f} GiB"
