"""What a cluster should consist of, what was found, and the plan of changes between the two.

All of it is data: nothing here asks a provider. A resource carries a mark, the cluster's name and a
digest of its description; what has no mark of the cluster is never touched.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

ResourceKind = Literal["network", "subnetwork", "firewall", "disk", "template", "group", "manager"]
Action = Literal["create", "replace", "update", "resize", "delete", "keep"]
#: Each kind needs only those before it: made in this order, removed in the other.
ORDER: tuple[ResourceKind, ...] = ("network", "subnetwork", "firewall", "disk", "template", "group", "manager")
#: Never made again because their description changed: others hang on them, or they hold data.
LASTING: frozenset[ResourceKind] = frozenset({"network", "subnetwork", "disk"})

_MARK = re.compile(r"seuron-cluster=(?P<cluster>[-a-z0-9]+) digest=(?P<digest>[0-9a-f]+)")


@dataclass(frozen=True)
class Resource:
    """One thing that should be there.

    `location` is a zone or a region, empty for what is global. `body` is its description as the
    provider's API takes it, without the mark. `template` and `size` are of groups only, and not in
    the body: they change without a new group.
    """

    kind: ResourceKind
    name: str
    location: str
    body: Mapping[str, Any] = field(hash=False)
    template: str = ""
    size: int = 0

    @property
    def digest(self) -> str:
        """Of the body: two resources with the same one need no change."""
        return digest_of(self.body)


@dataclass(frozen=True)
class Found:
    """One thing that is there and bears the cluster's mark."""

    kind: ResourceKind
    name: str
    location: str
    digest: str
    template: str = ""
    size: int = 0


@dataclass(frozen=True)
class Change:
    """What is to be done with one resource, and why."""

    action: Action
    kind: ResourceKind
    name: str
    location: str
    reason: str
    resource: Resource | None = None
    found: Found | None = None


def digest_of(body: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits that stand for a description."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:8]


def mark(cluster: str, digest: str) -> str:
    """The mark that goes into a resource's description."""
    return f"seuron-cluster={cluster} digest={digest}; made by `seuron cluster`, do not edit"


def read_mark(description: str) -> tuple[str, str] | None:
    """The cluster and the digest of a description; None when it bears no mark."""
    found = _MARK.match(description)
    return (found["cluster"], found["digest"]) if found else None


def plan_changes(desired: Sequence[Resource], found: Sequence[Found]) -> tuple[Change, ...]:
    """What turns `found` into `desired`, in the order in which it is to be done.

    Law: after the changes are done, planning again gives only `keep`.
    """
    there = {(item.kind, item.name, item.location): item for item in found}
    changes = []
    for item in sorted(desired, key=lambda item: ORDER.index(item.kind)):
        old = there.pop((item.kind, item.name, item.location), None)
        changes.append(_change(*_needed(item, old), item, old))
    surplus = sorted(there.values(), key=lambda item: -ORDER.index(item.kind))
    return (*changes, *(_change(*_not_needed(item), None, item) for item in surplus))


def plan_removal(found: Sequence[Found]) -> tuple[Change, ...]:
    """What removes all that was found, in the order in which it is to be done."""
    ordered = sorted(found, key=lambda item: -ORDER.index(item.kind))
    return tuple(_change("delete", "the cluster is removed", None, item) for item in ordered)


def _needed(desired: Resource, found: Found | None) -> tuple[Action, str]:
    if found is None:
        return "create", "not there yet"
    if desired.kind in LASTING and desired.digest != found.digest:
        return "keep", "its description changed; it is never made again"
    if desired.digest != found.digest:
        return "replace", "its description changed"
    if desired.template != found.template:
        return "update", f"new machines from {desired.template}; those that run stay as they are"
    if desired.size > found.size:
        return "resize", f"from {found.size} to its least size {desired.size}"
    return "keep", "as it should be"


def _not_needed(found: Found) -> tuple[Action, str]:
    if found.kind == "disk":
        return "keep", "not in the file any more, but it may hold data; `seuron cluster delete` removes it"
    return "delete", "not in the file any more"


def _change(action: Action, reason: str, resource: Resource | None, found: Found | None) -> Change:
    item = resource or found
    assert item is not None
    return Change(action, item.kind, item.name, item.location, reason, resource, found)
