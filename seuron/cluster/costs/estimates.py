"""What a run will probably cost on a cluster, and how long it takes, from the planned seconds of its tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seuron.cluster.cluster_state import QueueDepth
from seuron.cluster.costs.ledger import SECONDS_PER_HOUR
from seuron.cluster.groups import Group
from seuron.cluster.policy import slots_to_grow_to
from seuron.cluster.settings import PolicySettings
from seuron.engine.plan import Plan
from seuron.engine.queues import TierName


@dataclass(frozen=True)
class Spread:
    """A figure that is not known: at least, probably, at most."""

    low: float
    likely: float
    high: float


@dataclass(frozen=True)
class CostEstimate:
    """What a run will probably cost and how long it takes."""

    dollars: Spread
    hours: Spread


@dataclass(frozen=True)
class TierWork:
    """The tasks of one tier of a plan: their queue, how many, their seconds together, and the longest."""

    queue: str
    tasks: int
    seconds: float
    longest: float


@dataclass(frozen=True)
class _Case:
    """How well a run goes: how long tasks take against their plan, what lost and waiting time adds to them.

    `boots` says that instances boot and wait before they are removed, `worst` that only the dearest are had
    and that one task hangs until it is called stuck.
    """

    rate: float
    overhead: float
    boots: bool
    worst: bool


#: Low, likely and high. Plans are of measured rates, but tissue and machines differ. The likely case is fitted to
#: the simulator, the others hold what it gave for five seeds (docs/scaling-policy.md).
_CASES = (_Case(0.7, 1.0, False, False), _Case(1.0, 1.15, True, False), _Case(1.5, 1.6, True, True))


def tier_works(plan: Plan, queues: Mapping[TierName, str]) -> list[TierWork]:
    """The tiers of a plan, in order, as the estimate wants them; `queues` is what `engine.queues.assign` says."""
    return [
        TierWork(
            queues[tier.stage, tier.number],
            len(tier),
            tier.seconds,
            max(task.seconds for task, _ in tier.kinds()),
        )
        for tier in plan.tiers()
    ]


def estimate(tiers: Sequence[TierWork], groups: Sequence[Group], settings: PolicySettings) -> CostEstimate:
    """Dollars and hours of a run, tier by tier; a group serves each queue (`engine.queues.assign` sees to that).

    Low takes fast tasks on the cheapest groups without any waiting, high slow ones on the dearest. No tier
    is done before its longest task.
    """
    cheapest_first = sorted(groups, key=lambda group: (group.slot_price, group.name))
    served = {tier.queue: [group for group in cheapest_first if group.queue == tier.queue] for tier in tiers}
    sums = [_estimate([tier for tier in tiers if tier.tasks], served, settings, case) for case in _CASES]
    dollars, hours = zip(*sums, strict=True)
    return CostEstimate(Spread(*dollars), Spread(*hours))


def _estimate(
    tiers: Sequence[TierWork], served: Mapping[str, Sequence[Group]], settings: PolicySettings, case: _Case
) -> tuple[float, float]:
    dollars = 0.0
    hours = settings.stuck_seconds / SECONDS_PER_HOUR if case.worst and tiers else 0.0
    queue, had = "", 0
    for tier in tiers:
        groups = served[tier.queue]
        had = had if tier.queue == queue else 0
        slots = _slots(tier, groups, settings)
        new = max(0, slots - had) if case.boots else 0
        price = groups[-1].slot_price if case.worst else _mean_price(slots, groups)
        waiting = new * (settings.boot_seconds + settings.idle_seconds)
        dollars += price * (tier.seconds * case.rate * case.overhead + waiting) / SECONDS_PER_HOUR
        busy = max(tier.seconds / slots, tier.longest) * case.rate * case.overhead
        hours += (busy + (settings.boot_seconds if new else 0.0)) / SECONDS_PER_HOUR
        queue, had = tier.queue, slots
    return dollars, hours


def _slots(tier: TierWork, groups: Sequence[Group], settings: PolicySettings) -> int:
    """Slots that the policy would grow to for a tier, in whole instances."""
    most = sum(group.max_size * group.slots for group in groups)
    wanted = slots_to_grow_to(QueueDepth(tier.tasks, 0, None, tier.seconds / tier.tasks), settings)
    return min(most, -(-wanted // groups[0].slots) * groups[0].slots)


def _mean_price(slots: int, groups: Sequence[Group]) -> float:
    """Dollars an hour of a slot, when so many are had from the cheapest groups."""
    left, dollars = slots, 0.0
    for group in groups:
        taken = min(left, group.max_size * group.slots)
        dollars += taken * group.slot_price
        left -= taken
    return dollars / slots
