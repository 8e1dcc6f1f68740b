"""The settings of the scaling policy: the table `[policy]` of a cluster's file."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from seuron.params.model import Parameters


class PolicySettings(Parameters):
    """How groups grow and shrink, and when an instance is given up. Names end in the unit.

    The defaults were chosen with the simulator; docs/scaling-policy.md has the experiments.
    """

    target_seconds: float = Field(
        450.0,
        gt=0,
        description="time in which the ready tasks of a queue should be done: fewer instances suffice for short tasks",
    )
    assumed_seconds: float = Field(60.0, gt=0, description="length of a task of which nothing is measured or planned")
    starts_per_second: float = Field(
        6.0, gt=0, description="tasks that the scheduler starts; more slots than these keep busy are of no use"
    )
    spot_hours: float = Field(
        20.0,
        gt=0,
        description="mean life of a spot instance: long tasks are lost more often, which counts as a higher price",
    )
    first_instances: int = Field(
        10, ge=1, description="most instances that a group gets before one of its own has begun"
    )
    ramp_seconds: float = Field(
        60.0,
        ge=0,
        description="time between two steps of a group; each goes at most to twice the instances that report",
    )
    boot_seconds: float = Field(
        120.0, ge=0, description="time from asking for an instance to its first task, as a rule"
    )
    paid_seconds: float = Field(
        60.0, ge=0, description="least time that the provider asks money for, however short an instance lives"
    )
    idle_seconds: float = Field(
        180.0,
        ge=0,
        description="time that slots stay without need before their instances are drained: the next tier may want them",
    )
    settle_seconds: float = Field(
        120.0, ge=0, description="time between growing and shrinking the same group, either way"
    )
    rest_seconds: float = Field(
        120.0,
        gt=0,
        description="time for which a group that could not grow is passed over; doubles with each shortage",
    )
    rest_longest_seconds: float = Field(1800.0, gt=0, description="longest time for which a group is passed over")
    start_seconds: float = Field(600.0, gt=0, description="time that a new instance has until its first report")
    dead_seconds: float = Field(180.0, gt=0, description="an instance that has not reported for so long is dead")
    stuck_factor: float = Field(8.0, ge=2, description="a task that takes so many times the mean of its queue is stuck")
    stuck_seconds: float = Field(1800.0, ge=0, description="a task younger than this is never called stuck")
    patience_factor: float = Field(
        6.0,
        ge=1,
        description="when all instances look dead, or most tasks stuck, the fault is elsewhere: "
        "wait so many times as long",
    )
    full_disk: float = Field(0.95, gt=0, le=1, description="share of the disk in use that is too much")
    full_memory: float = Field(0.97, gt=0, le=1, description="share of the memory in use that is too much")
    full_seconds: float = Field(60.0, ge=0, description="time for which memory must be too full: peaks pass")
    host_failures: int = Field(5, ge=1, description="failed tasks that make an instance suspicious")
    host_failure_share: float = Field(
        0.5, gt=0, le=1, description="share of the tasks on an instance that must have failed as well"
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
