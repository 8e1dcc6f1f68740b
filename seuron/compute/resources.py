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

Kind = Literal["network", "subnetwork", "firewall", "disk", "template", "group", "manager"]
Action = Literal["create", "replace", "update", "resize", "delete", "keep"]
#: Each kind needs only those before it: made in this order, removed in the other.
ORDER: tuple[Kind, ...] = ("network", "subnetwork", "firewall", "disk", "template", "group", "manager")
#: Never made anew because their description changed: others hang on them, or they hold data.
LASTING: frozenset[Kind] = frozenset({"network", "subnetwork", "disk"})

_MARK = re.compile(r"seuron-cluster=(?P<cluster>[-a-z0-9]+) digest=(?P<digest>[0-9a-f]+)")


@dataclass(frozen=True)
class Resource:
    """One thing that should be there.

    `location` is a zone or a region, empty for what is global. `body` is its description as the
    provider's API takes it, without the mark. `template` and `size` are of groups only, and not in
    the body: they change without a new group.
    """

    kind: Kind
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

    kind: Kind
    name: str
    location: str
    digest: str
    template: str = ""
    size: int = 0


@dataclass(frozen=True)
class Change:
    """What is to be done with one resource, and why."""

    action: Action
    kind: Kind
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
    changes = [_change(item, there.get((item.kind, item.name, item.location))) for item in desired]
    wanted = {(item.kind, item.name, item.location) for item in desired}
    changes.sort(key=lambda change: ORDER.index(change.kind))
    surplus = [item for key, item in there.items() if key not in wanted]
    surplus.sort(key=lambda item: -ORDER.index(item.kind))
    return (*changes, *(_remove(item) for item in surplus))


def plan_removal(found: Sequence[Found]) -> tuple[Change, ...]:
    """What removes all that was found, in the order in which it is to be done."""
    ordered = sorted(found, key=lambda item: -ORDER.index(item.kind))
    return tuple(_as_change("delete", item, "the cluster is removed", None, item) for item in ordered)


def _change(desired: Resource, found: Found | None) -> Change:
    if found is None:
        return _as_change("create", desired, "not there yet", desired, None)
    if desired.kind in LASTING and desired.digest != found.digest:
        return _as_change("keep", desired, "its description changed; it is never made anew", desired, found)
    if desired.digest != found.digest:
        return _as_change("replace", desired, "its description changed", desired, found)
    if desired.template != found.template:
        reason = f"new machines from {desired.template}; those that run stay as they are"
        return _as_change("update", desired, reason, desired, found)
    if desired.size > found.size:
        return _as_change("resize", desired, f"from {found.size} to its least size {desired.size}", desired, found)
    return _as_change("keep", desired, "as it should be", desired, found)


def _remove(found: Found) -> Change:
    if found.kind == "disk":
        reason = "not in the file any more, but it may hold data; `seuron cluster delete` removes it"
        return _as_change("keep", found, reason, None, found)
    return _as_change("delete", found, "not in the file any more", None, found)


def _as_change(
    action: Action, item: Resource | Found, reason: str, resource: Resource | None, found: Found | None
) -> Change:
    return Change(action, item.kind, item.name, item.location, reason, resource, found)
