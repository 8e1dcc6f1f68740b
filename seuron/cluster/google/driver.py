"""Google's managed instance groups as a `Driver`.

A group of the cluster is a managed instance group called CLUSTER-GROUP. Google keeps it at its
target: an instance that vanishes is made again under its old name.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from seuron.cluster.google.client import Connection, last_part
from seuron.cluster.groups import Instance, InstanceState, Shortage, ShortageKind
from seuron.errors import ComputeError

#: The label of everything that belongs to a cluster, and that of the machines of one group.
CLUSTER_LABEL, GROUP_LABEL = "seuron-cluster", "seuron-group"
#: Google takes this many names in one request.
_MOST_NAMES = 1000
_MANAGERS = "InstanceGroupManagers"

#: What Google may do with a machine, by what the machine then is; else it is as its own status says.
_STARTING = ("CREATING", "CREATING_WITHOUT_RETRIES", "RECREATING", "RESTARTING", "STARTING", "RESUMING")
_STOPPING = ("DELETING", "ABANDONING", "STOPPING", "SUSPENDING")
_STARTING_STATUSES = ("", "PENDING", "PROVISIONING", "STAGING", "REPAIRING")


def group_resource(cluster: str, group: str) -> str:
    """Google's name of a group."""
    return f"{cluster}-{group}"


class GoogleDriver:
    """The groups of one cluster; `zones` gives the zone of each."""

    def __init__(self, connection: Connection, cluster: str, zones: Mapping[str, str]) -> None:
        self._connection = connection
        self._cluster = cluster
        self._zones = dict(zones)

    def __repr__(self) -> str:
        return f"GoogleDriver({self._cluster!r}, {sorted(self._zones)})"

    def instances(self, group: str) -> Sequence[Instance]:
        """The group's instances.

        One that Google still has to make has no time of creation yet, and gets the present: what keeps
        it from being made is in `shortages`, not by its age.
        """
        managed = self._managed(group)
        created = self._created(group) if managed else {}
        now = time.time()
        return [
            Instance(name, group, _state(item), created.get(name, now))
            for name, item in ((last_part(item.instance), item) for item in managed)
        ]

    def target(self, group: str) -> int:
        """The size that was asked for last."""
        found = self._connection.ask(f"looking at group {group}", _MANAGERS, "get", **self._place(group))
        return int(found.target_size)

    def resize(self, group: str, size: int) -> None:
        """Ask for `size` instances, not fewer than Google has begun with: those are deleted by name."""
        target = self.target(group)
        if size < target and size < sum(_state(item) != "stopping" for item in self._managed(group)):
            raise ComputeError(
                f"group {group} cannot be resized from {target} to {size}: Google would choose which instances to "
                "remove, busy ones too; delete instances by name"
            )
        if size != target:
            what = f"resizing group {group} to {size}"
            self._connection.begin(what, _MANAGERS, "resize_unary", size=size, **self._place(group))

    def delete(self, group: str, names: Sequence[str]) -> None:
        """Remove these instances, and lower the target by as many."""
        here = {last_part(item.instance) for item in self._managed(group)}
        wanted = [f"zones/{self._zones[group]}/instances/{name}" for name in dict.fromkeys(names) if name in here]
        for first in range(0, len(wanted), _MOST_NAMES):
            self._connection.begin(
                f"removing instances of group {group}",
                _MANAGERS,
                "delete_instances_unary",
                instance_group_managers_delete_instances_request_resource={
                    "instances": wanted[first : first + _MOST_NAMES],
                    # Some may be going already, or go between the look and the request.
                    "skip_instances_on_validation_error": True,
                },
                **self._place(group),
            )

    def shortages(self, group: str) -> Sequence[Shortage]:
        """What Google could not make for the group and still remembers, oldest first."""
        errors = self._connection.ask_all(
            f"looking at errors of group {group}", _MANAGERS, "list_errors", **self._place(group)
        )
        found = [
            Shortage(
                group, _kind(item.error.code), f"{item.error.code}: {item.error.message}", _seconds(item.timestamp)
            )
            for item in errors
        ]
        return sorted(found, key=lambda shortage: shortage.time)

    def _place(self, group: str) -> dict[str, str]:
        if group not in self._zones:
            raise ComputeError(f"there is no group {group!r}; the cluster has {', '.join(sorted(self._zones))}")
        return {"zone": self._zones[group], "instance_group_manager": group_resource(self._cluster, group)}

    def _managed(self, group: str) -> list[Any]:
        return self._connection.ask_all(
            f"looking at instances of group {group}", _MANAGERS, "list_managed_instances", **self._place(group)
        )

    def _created(self, group: str) -> dict[str, float]:
        found = self._connection.ask_all(
            f"looking at instances of group {group}",
            "Instances",
            "list",
            zone=self._zones[group],
            filter=f"(labels.{CLUSTER_LABEL} = {self._cluster}) (labels.{GROUP_LABEL} = {group})",
        )
        return {item.name: _seconds(item.creation_timestamp) for item in found}


def _kind(code: str) -> ShortageKind:
    if "RESOURCE_POOL_EXHAUSTED" in code or "STOCKOUT" in code:
        return "no_stock"
    return "quota" if "QUOTA" in code or code == "LIMIT_EXCEEDED" else "other"


def _state(managed: Any) -> InstanceState:
    """A managed instance's state: what Google does with it, else what the machine itself is."""
    action, status = managed.current_action, managed.instance_status
    if action in _STARTING or (action not in _STOPPING and status in _STARTING_STATUSES):
        return "starting"
    return "running" if action not in _STOPPING and status == "RUNNING" else "stopping"


def _seconds(timestamp: str) -> float:
    """Google's RFC 3339 time as seconds since 1970."""
    return datetime.fromisoformat(timestamp).timestamp()
