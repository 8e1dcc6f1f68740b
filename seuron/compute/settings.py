"""The settings of the scaling policy: the table `[policy]` of a cluster's file."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from seuron.params.model import Parameters


def _field(default: Any, group: str, help: str, *, unit: str = "", **limits: Any) -> Any:
    """A setting with what the command line and the docs show of it."""
    return Field(default, description=help, json_schema_extra={"group": group, "unit": unit}, **limits)


class PolicySettings(Parameters):
    """How groups grow and shrink, and when an instance is given up.

    The defaults were chosen with the simulator; docs/scaling-policy.md has the experiments.
    """

    target_seconds: float = _field(
        450.0,
        "Size",
        "time in which the ready tasks of a queue should be done: fewer instances suffice for short tasks",
        unit="s",
        gt=0,
    )
    assumed_seconds: float = _field(
        60.0, "Size", "length of a task of which nothing is measured or planned", unit="s", gt=0
    )
    starts_per_second: float = _field(
        6.0,
        "Size",
        "tasks that the scheduler starts; more slots than these keep busy are of no use",
        unit="1/s",
        gt=0,
    )
    spot_hours: float = _field(
        20.0,
        "Size",
        "mean life of a spot instance: long tasks are lost more often, which counts as a higher price",
        unit="h",
        gt=0,
    )
    first_instances: int = _field(
        10, "Growth", "most instances that a group gets before one of its own has begun", ge=1
    )
    ramp_seconds: float = _field(
        60.0,
        "Growth",
        "time between two steps of a group; each goes at most to twice the instances at work",
        unit="s",
        ge=0,
    )
    boot_seconds: float = _field(
        120.0, "Growth", "time from asking for an instance to its first task, as a rule", unit="s", ge=0
    )
    paid_seconds: float = _field(
        60.0, "Growth", "least time that the provider asks money for, however short an instance lives", unit="s", ge=0
    )
    idle_seconds: float = _field(
        180.0,
        "Shrinking",
        "time that slots stay without need before their instances are drained: the next tier may want them",
        unit="s",
        ge=0,
    )
    settle_seconds: float = _field(
        120.0, "Shrinking", "time between growing and shrinking the same group, either way", unit="s", ge=0
    )
    rest_seconds: float = _field(
        120.0,
        "Shortages",
        "time for which a group that could not grow is passed over; doubles with each shortage",
        unit="s",
        gt=0,
    )
    rest_longest_seconds: float = _field(
        1800.0, "Shortages", "longest time for which a group is passed over", unit="s", gt=0
    )
    start_seconds: float = _field(
        600.0, "Health", "time that a new instance has until its first report", unit="s", gt=0
    )
    dead_seconds: float = _field(
        180.0, "Health", "an instance that has not reported for so long is dead", unit="s", gt=0
    )
    stuck_factor: float = _field(8.0, "Health", "a task that takes so many times the mean of its queue is stuck", ge=2)
    stuck_seconds: float = _field(1800.0, "Health", "a task younger than this is never called stuck", unit="s", ge=0)
    patience_factor: float = _field(
        6.0,
        "Health",
        "when all instances look dead, or most tasks stuck, the fault is elsewhere: wait so many times as long",
        ge=1,
    )
    full_disk: float = _field(0.95, "Health", "share of the disk in use that is too much", gt=0, le=1)
    full_memory: float = _field(0.97, "Health", "share of the memory in use that is too much", gt=0, le=1)
    full_seconds: float = _field(60.0, "Health", "time for which memory must be too full: peaks pass", unit="s", ge=0)
    host_failures: int = _field(5, "Health", "failed tasks that make an instance suspicious", ge=1)
    host_failure_share: float = _field(
        0.5, "Health", "share of the tasks on an instance that must have failed as well", gt=0, le=1
    )

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        problems = []
        if self.target_seconds < self.boot_seconds + self.paid_seconds:
            problems.append(
                f"`target_seconds` must be at least `boot_seconds` + `paid_seconds`, got {self.target_seconds:g} for "
                f"{self.boot_seconds:g} + {self.paid_seconds:g}: an instance would boot for longer than it works"
            )
        if self.rest_longest_seconds < self.rest_seconds:
            problems.append(
                f"`rest_longest_seconds` must be at least `rest_seconds`, got {self.rest_longest_seconds:g} "
                f"and {self.rest_seconds:g}"
            )
        if self.start_seconds < self.boot_seconds:
            problems.append(
                f"`start_seconds` must be at least `boot_seconds`, got {self.start_seconds:g} and "
                f"{self.boot_seconds:g}: every instance would be given up before it begins"
            )
        if problems:
            raise ValueError("\n".join(problems))
        return self
