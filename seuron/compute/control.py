"""What `seuron cluster` does: plan and make a cluster, look at it, set sizes, remove it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from seuron.compute.cluster_file import Cluster
from seuron.compute.drivers import connection_of, process_groups
from seuron.compute.groups import Driver, Group, Instance, Shortage
from seuron.compute.process_driver import ProcessGroups
from seuron.compute.resources import Change, plan_changes, plan_removal
from seuron.errors import ParameterErrors

#: Shortages that `status` shows are at most so old, in seconds.
RECENT_SECONDS = 3600.0

Say = Callable[[str], None]


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


def plan_cluster(cluster: Cluster) -> tuple[Change, ...]:
    """What `create` would do."""
    if cluster.provider == "processes":
        return _plan_processes(cluster, process_groups(cluster))
    from seuron.compute.google_layout import desired_resources
    from seuron.compute.google_resources import GoogleResources

    with connection_of(cluster) as connection:
        found = GoogleResources(connection, cluster.name).find()
    return plan_changes(desired_resources(cluster), found)


def make_cluster(cluster: Cluster, changes: Sequence[Change], say: Say) -> None:
    """Do a plan; raises ComputeError with all that failed, and can be done again."""
    if cluster.provider == "processes":
        _change_processes(cluster, changes, say)
        return
    from seuron.compute.google_resources import GoogleResources

    with connection_of(cluster) as connection:
        GoogleResources(connection, cluster.name).apply(changes, say)


def plan_delete(cluster: Cluster) -> tuple[Change, ...]:
    """What `delete` would remove: all that bears the cluster's mark, whatever its file says now."""
    if cluster.provider == "processes":
        found = process_groups(cluster).found()
        return tuple(Change("delete", "group", name, "local", "the cluster is removed") for name in found)
    from seuron.compute.google_resources import GoogleResources

    with connection_of(cluster) as connection:
        resources = GoogleResources(connection, cluster.name)
        return plan_removal((*resources.find(), *resources.strays()))


def delete_cluster(cluster: Cluster, say: Say) -> None:
    """Remove everything; raises ComputeError when anything is left."""
    if cluster.provider == "processes":
        _change_processes(cluster, plan_delete(cluster), say)
        return
    from seuron.compute.google_resources import GoogleResources

    with connection_of(cluster) as connection:
        GoogleResources(connection, cluster.name).remove(say)


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


def highest_rate(cluster: Cluster) -> float:
    """Dollars an hour with every group at its largest, the manager included."""
    return cluster.manager_price() + sum(group.price * group.max_size for group in cluster.groups)


def _change_processes(cluster: Cluster, changes: Sequence[Change], say: Say) -> None:
    groups = process_groups(cluster)
    for change in changes:
        if change.action != "keep":
            say(f"{change.action} group {change.name}")
        if change.action == "resize":
            groups.resize(change.name, cluster.group_table(change.name).min_size)
        elif change.action == "delete":
            groups.remove([change.name])


def _plan_processes(cluster: Cluster, groups: ProcessGroups) -> tuple[Change, ...]:
    changes = []
    for table in cluster.tables.groups:
        target = groups.target(table.name)
        grow = target < table.min_size
        reason = f"from {target} to its least size {table.min_size}" if grow else "as it should be"
        changes.append(Change("resize" if grow else "keep", "group", table.name, table.zone, reason))
    known = {table.name for table in cluster.tables.groups}
    gone = [name for name in groups.found() if name not in known]
    changes += [Change("delete", "group", name, "local", "not in the file any more") for name in gone]
    return tuple(changes)


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
        known = [*(queue.name for queue in cluster.tables.queues), *(group.name for group in cluster.groups)]
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
