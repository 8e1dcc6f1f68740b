"""What a simulated provider, its machines and the scheduler are like. The defaults are guesses that are said so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Outage:
    """Groups that get no new instances above `left` for a time; all groups of an outage share these.

    `no_stock` and `quota` are told as shortages; with `silent` a resize is accepted and nothing comes of it.
    """

    kind: Literal["no_stock", "quota", "silent"]
    groups: frozenset[str]
    begin: float
    end: float
    left: int = 0


@dataclass(frozen=True)
class World:
    """Lengths in seconds, `hours` in hours; a share is of all tasks or of all instances.

    `make_seconds` is from asking to a machine that is paid for, `boot_seconds` from then to the worker's first
    report, lognormal with `boot_sigma`. `spot_hours` and `dead_hours` are mean lives of spot instances, and of
    workers on machines that live on (None: for ever); both exponential. `notice_seconds` is how long Airflow
    takes to see that a task is lost, `timeout_seconds` when it ends one that hangs.
    """

    make_seconds: float = 15.0
    boot_seconds: float = 90.0
    boot_sigma: float = 0.3
    slow_boot_share: float = 0.01
    slow_boot_factor: float = 10.0
    never_boot_share: float = 0.0
    spot_hours: float | None = 20.0
    dead_hours: float | None = 500.0
    bad_host_share: float = 0.002
    filling_host_share: float = 0.0
    duration_sigma: float = 0.3
    straggler_share: float = 0.003
    straggler_factor: float = 4.0
    stuck_share: float = 0.00002
    fail_seconds: float = 5.0
    retry_seconds: float = 10.0
    notice_seconds: float = 300.0
    timeout_seconds: float = 6 * 3600.0
    starts_per_second: float = 7.0
    tier_seconds: float = 5.0
    interval_seconds: float = 30.0
    outages: tuple[Outage, ...] = ()
    broker_down: tuple[tuple[float, float], ...] = ()

    def broker_is_down(self, time: float) -> bool:
        return any(begin <= time < end for begin, end in self.broker_down)


#: A world in which nothing goes wrong and every length is as planned.
CALM = World(
    boot_sigma=0.0,
    slow_boot_share=0.0,
    spot_hours=None,
    dead_hours=None,
    bad_host_share=0.0,
    duration_sigma=0.0,
    straggler_share=0.0,
    stuck_share=0.0,
)
