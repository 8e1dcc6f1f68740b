"""Finds a cluster's resources on Google, and carries out a plan of changes.

Google keeps labels for machines and disks only, so the mark of a cluster is in each resource's
description, and machines have the label besides.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from seuron.cluster.config import Cluster
from seuron.cluster.google.client import Connection, MissingResourceError, NameTakenError, Pending, last_part
from seuron.cluster.google.driver import CLUSTER_LABEL
from seuron.cluster.google.layout import ROLE_LABEL, desired_resources, marked_body, template_address
from seuron.cluster.resource_plan import (
    ORDER,
    Change,
    Found,
    Resource,
    ResourceKind,
    plan_changes,
    plan_removal,
    read_mark,
)
from seuron.errors import ComputeError


@dataclass(frozen=True)
class _Service:
    """How Google calls one kind of resource: its message, and whether it lies in a zone, a region or neither ("")."""

    message: str
    scope: str = ""

    @property
    def client(self) -> str:
        return f"{self.message}s"

    @property
    def noun(self) -> str:
        """What it is called in requests; the list of an aggregated answer is its plural."""
        return re.sub("(?<!^)([A-Z])", r"_\1", self.message).lower()


_SERVICES: dict[ResourceKind, _Service] = {
    "network": _Service("Network"),
    "subnetwork": _Service("Subnetwork", "region"),
    "firewall": _Service("Firewall"),
    "disk": _Service("Disk", "zone"),
    "template": _Service("InstanceTemplate"),
    "group": _Service("InstanceGroupManager", "zone"),
    "manager": _Service("Instance", "zone"),
}


class GoogleResources:
    """The resources of one cluster in a project."""

    def __init__(self, connection: Connection, cluster: str) -> None:
        self._connection = connection
        self._cluster = cluster

    def find(self) -> tuple[Found, ...]:
        """All that bears the cluster's mark, in every zone, whatever the cluster's file says."""
        return tuple(item for kind in ORDER for item in self._find(kind))

    def strays(self) -> tuple[Found, ...]:
        """Worker machines with the cluster's label: those of groups, and any that lost their group."""
        words = f"(labels.{CLUSTER_LABEL} = {self._cluster}) (labels.{ROLE_LABEL} = worker)"
        what = f"looking for machines of {self._cluster}"
        machines = self._aggregated(what, _SERVICES["manager"], filter=words)
        return tuple(Found("manager", item.name, place, "") for place, item in machines)

    def apply(self, changes: Sequence[Change], on_change: Callable[[str], None] = lambda line: None) -> None:
        """Do the changes, in their order; those of one kind at the same time.

        Raises ComputeError with all that failed. What was done stays, and the next plan goes on from there.
        """
        for _, wave in groupby((change for change in changes if change.action != "keep"), key=_wave):
            together = list(wave)
            for change in together:
                on_change(f"{change.action} {change.kind} {change.name}")
            # A replaced resource is removed first: two cannot have one name.
            self._all(self._delete, [change for change in together if change.action in ("replace", "delete")])
            self._all(self._make, [change for change in together if change.action != "delete"])

    def plan(self, cluster: Cluster) -> tuple[Change, ...]:
        """What makes the cluster as its file says."""
        return plan_changes(desired_resources(cluster), self.find())

    def plan_removal(self) -> tuple[Change, ...]:
        """What removes all that bears the cluster's mark or label, whatever its file says now."""
        return plan_removal((*self.find(), *self.strays()))

    def remove(self, on_change: Callable[[str], None] = lambda line: None) -> None:
        """Remove everything that bears the cluster's mark or label; raises ComputeError when anything is left."""
        self.apply(plan_removal(self.find()), on_change)
        self.apply(plan_removal(self.strays()), on_change)
        left = (*self.find(), *self.strays())
        if left:
            names = ", ".join(f"{item.kind} {item.name}" for item in left)
            raise ComputeError(f"still there after removing all: {names}; run `seuron cluster delete` again")

    def _find(self, kind: ResourceKind) -> list[Found]:
        service = _SERVICES[kind]
        what = f"looking for each {kind} of {self._cluster}"
        if not service.scope:
            listed = [("", item) for item in self._connection.ask_all(what, service.client, "list")]
        else:
            listed = self._aggregated(what, service)
        return [found for place, item in listed if (found := self._as_found(kind, place, item)) is not None]

    def _aggregated(self, what: str, service: _Service, **request: Any) -> list[tuple[str, Any]]:
        pages = self._connection.ask_all(what, service.client, "aggregated_list", **request)
        return [(last_part(place), item) for place, part in pages for item in getattr(part, f"{service.noun}s")]

    def _as_found(self, kind: ResourceKind, place: str, item: Any) -> Found | None:
        found = read_mark(item.description)
        if found is None or found[0] != self._cluster:
            return None
        if kind == "group":
            return Found(kind, item.name, place, found[1], last_part(item.instance_template), item.target_size)
        return Found(kind, item.name, place, found[1])

    def _all(self, begin: Callable[[Change], list[Pending]], changes: Sequence[Change]) -> None:
        """Begin all, then wait for all; one that cannot begin does not keep the others from ending."""
        pending: list[Pending] = []
        failures: list[str] = []
        for change in changes:
            try:
                pending += begin(change)
            except ComputeError as error:
                failures.append(str(error))
        try:
            self._connection.finish(pending)
        except ComputeError as error:
            failures.append(str(error))
        if failures:
            raise ComputeError("\n".join(failures))

    def _make(self, change: Change) -> list[Pending]:
        resource, found = change.resource, change.found
        if resource is None:
            return []
        if change.action not in ("update", "resize"):
            return self._insert(resource)
        begun = []
        if change.action == "update":
            begun.append(self._set_template(resource))
        if found is not None and resource.size > found.size:
            place = {"zone": resource.location, "instance_group_manager": resource.name}
            what = f"resizing {resource.name} to {resource.size}"
            begun.append(
                self._connection.begin(what, "InstanceGroupManagers", "resize_unary", size=resource.size, **place)
            )
        return begun

    def _set_template(self, resource: Resource) -> Pending:
        return self._connection.begin(
            f"giving {resource.name} the template {resource.template}",
            "InstanceGroupManagers",
            "set_instance_template_unary",
            zone=resource.location,
            instance_group_manager=resource.name,
            instance_group_managers_set_instance_template_request_resource={
                "instance_template": template_address(self._connection.project, resource.template)
            },
        )

    def _insert(self, resource: Resource) -> list[Pending]:
        from google.cloud import compute_v1

        service = _SERVICES[resource.kind]
        body = marked_body(self._cluster, self._connection.project, resource)
        message = getattr(compute_v1, service.message).from_json(json.dumps(body))
        request = {f"{service.noun}_resource": message, **self._scope(service, resource.location)}
        what = f"creating {resource.kind} {resource.name}"
        try:
            return [self._connection.begin(what, service.client, "insert_unary", **request)]
        except NameTakenError:
            # A create that was cut off may have asked for it, and it is listed only now.
            if self._is_ours(resource):
                return []
            raise

    def _is_ours(self, resource: Resource) -> bool:
        """Whether the resource of this name is the one that should be made; waits for one that is only coming."""
        service = _SERVICES[resource.kind]
        place = {service.noun: resource.name, **self._scope(service, resource.location)}
        deadline = time.monotonic() + self._connection.patience.operation
        while True:
            try:
                what = f"looking at {resource.kind} {resource.name}"
                item = self._connection.ask(what, service.client, "get", **place)
                return read_mark(item.description) == (self._cluster, resource.digest)
            except MissingResourceError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(self._connection.patience.first_pause)

    def _delete(self, change: Change) -> list[Pending]:
        service = _SERVICES[change.kind]
        request = {service.noun: change.name, **self._scope(service, change.location)}
        what = f"removing {change.kind} {change.name}"
        try:
            return [self._connection.begin(what, service.client, "delete_unary", **request)]
        except MissingResourceError:
            return []

    @staticmethod
    def _scope(service: _Service, location: str) -> dict[str, str]:
        return {service.scope: location} if service.scope else {}


def _wave(change: Change) -> tuple[str, bool]:
    """Changes that may be done at the same time: of one kind, and all to make or all to remove."""
    return change.kind, change.action == "delete"
