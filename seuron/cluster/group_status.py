"""The groups of a cluster as they are, their sizes set by hand, and what they cost."""

from __future__ import annotations

import time
from dataclasses import dataclass

from seuron.cluster.config import Cluster
from seuron.cluster.groups import Driver, Group, Instance, Shortage
from seuron.errors import ParameterErrors

#: Shortages that `status` shows are at most so old, in seconds.
RECENT_SECONDS = 3600.0


@dataclass(frozen=True)
class GroupStatus:
    """A group as it is. `dollars_an_hour` counts machines that run or are being removed."""

    name: str
    queue: str
    zone: str
    spot: bool
    max_size: int
    target: int
    starting: int
    running: int
    stopping: int
    price: float
    dollars_an_hour: float
    shortages: tuple[Shortage, ...]


@dataclass(frozen=True)
class Resize:
    """A group's size before and after, and the instances that go."""

    group: str
    before: int
    after: int
    removed: tuple[str, ...] = ()


def cluster_status(cluster: Cluster, driver: Driver) -> tuple[GroupStatus, ...]:
    """Every group as it is now."""
    return tuple(_status(group, driver) for group in cluster.groups)


def scale(cluster: Cluster, driver: Driver, name: str, size: int) -> tuple[Resize, ...]:
    """Set the size of a group, or of all groups of a queue together: the cheapest are filled first.

    A queue's groups shrink the dearest first. Instances that only start go first, then the youngest;
    what they do is lost and done again elsewhere.
    """
    groups = _named(cluster, name)
    most = sum(group.max_size for group in groups)
    if not 0 <= size <= most:
        raise ParameterErrors([f"size: got {size}; {name} may have 0 to {most} instances (max_size)"], "the command")
    resizes, left = [], size
    for group in sorted(groups, key=lambda group: group.price):
        part = min(left, group.max_size)
        left -= part
        resizes.append(_set_size(driver, group.name, part))
    return tuple(resizes)


def _status(group: Group, driver: Driver) -> GroupStatus:
    instances = driver.instances(group.name)
    count = {state: sum(item.state == state for item in instances) for state in ("starting", "running", "stopping")}
    recent = [item for item in driver.shortages(group.name) if item.time > time.time() - RECENT_SECONDS]
    # The last of each message: a zone without machines says the same every minute.
    last = {(item.kind, item.message): item for item in recent}
    return GroupStatus(
        name=group.name,
        queue=group.queue,
        zone=group.zone,
        spot=group.spot,
        max_size=group.max_size,
        target=driver.target(group.name),
        price=group.price,
        dollars_an_hour=group.price * (count["running"] + count["stopping"]),
        shortages=tuple(last.values()),
        **count,
    )


def _named(cluster: Cluster, name: str) -> list[Group]:
    groups = [group for group in cluster.groups if group.name == name]
    groups = groups or [group for group in cluster.groups if group.queue == name]
    if not groups:
        known = [*(queue.name for queue in cluster.queues), *(group.name for group in cluster.groups)]
        raise ParameterErrors([f"{name!r} is neither a queue nor a group; there are {', '.join(known)}"], "the command")
    return groups


def _set_size(driver: Driver, group: str, size: int) -> Resize:
    before = driver.target(group)
    if size >= before:
        driver.resize(group, size)
        return Resize(group, before, size)
    leaving = sorted((item for item in driver.instances(group) if item.state != "stopping"), key=_first_to_go)
    names = tuple(item.name for item in leaving[: before - size])
    driver.delete(group, names)
    return Resize(group, before, before - len(names), names)


def _first_to_go(instance: Instance) -> tuple[bool, float]:
    return instance.state != "starting", -instance.created
