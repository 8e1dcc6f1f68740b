"""A small Compute Engine in memory: resources, operations that take time, groups that keep their size.

It knows what the tests and `seuron cluster` need of the API, refuses what Google refuses (names that
are taken, resources that others use), and can be made to fail in the ways that Google fails.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from compute_engine.machines import CountedMachines, Machines

Json = dict[str, Any]
#: Collections by the scope of their resources.
SCOPES = {
    "networks": "global",
    "firewalls": "global",
    "instanceTemplates": "global",
    "subnetworks": "regions",
    "disks": "zones",
    "instances": "zones",
    "instanceGroupManagers": "zones",
}
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Faults:
    """What goes wrong. `matching` is a pattern that a request's `METHOD /path` must contain."""

    #: Zones without machines, and the most machines that a zone's quota allows.
    no_stock: set[str] = field(default_factory=set)
    quota: dict[str, int] = field(default_factory=dict)
    #: Requests that are answered by an error: (matching, status, times).
    answers: list[list[Any]] = field(default_factory=list)
    #: Requests that hang: (matching, seconds, times, whether they are done before they hang).
    hangs: list[list[Any]] = field(default_factory=list)
    #: Operations that end in an error: (matching, code, message, times).
    broken_operations: list[list[Any]] = field(default_factory=list)

    def take(self, faults: list[list[Any]], request: str, times: int) -> list[Any] | None:
        """The first fault for this request that is not used up; `times` is where its count stands."""
        for fault in faults:
            if fault[times] > 0 and re.search(fault[0], request):
                fault[times] -= 1
                return fault
        return None


@dataclass
class Managed:
    """One instance of a managed group. `due` is when the next thing happens to it."""

    name: str
    action: str
    due: float
    machine: bool = False


@dataclass
class Times:
    """Seconds."""

    operation: float = 0.0
    boot: float = 0.0
    shutdown: float = 0.0
    retry: float = 0.1


class Service:
    """The state of one project; every method may be called from any thread."""

    def __init__(self, machines: Machines | None = None, seed: int = 0) -> None:
        self.machines: Machines = machines or CountedMachines()
        self.faults = Faults()
        self.times = Times()
        self.page_size = 500
        self.lock = threading.RLock()
        self.resources: dict[str, dict[tuple[str, str], Json]] = {name: {} for name in SCOPES}
        self.managed: dict[tuple[str, str], list[Managed]] = {}
        self.errors: dict[tuple[str, str], list[Json]] = {}
        self.operations: dict[str, Json] = {}
        self._effects: list[tuple[float, Json, Callable[[], None]]] = []
        self._by_request: dict[str, str] = {}
        self._coming: set[tuple[str, str, str]] = set()
        self._random = random.Random(seed)

    # Requests.

    def insert(self, collection: str, location: str, body: Json, request: str, what: str) -> Json:
        """Begin to make a resource."""
        with self.lock:
            name = str(body.get("name", ""))
            if not _NAME.fullmatch(name):
                raise Refused(400, f"Invalid value for field 'resource.name': '{name}'")
            if request in self._by_request:
                return self.operations[self._by_request[request]]
            if (location, name) in self.resources[collection] or (collection, location, name) in self._coming:
                raise Refused(409, f"The resource '{collection}/{name}' already exists")
            missing = {"instanceGroupManagers": "targetSize", "firewalls": "allowed"}.get(collection, "name")
            if missing not in body:
                raise Refused(400, f"Required field 'resource.{missing}' not specified")
            self._check_references(collection, location, body)
            self._coming.add((collection, location, name))
            made = {**body, "creationTimestamp": _timestamp(), "id": str(self._random.getrandbits(60))}
            return self._operation(request, what, collection, location, lambda: self._put(collection, location, made))

    def delete(self, collection: str, location: str, name: str, request: str, what: str) -> Json:
        """Begin to remove a resource."""
        with self.lock:
            if request in self._by_request:
                return self.operations[self._by_request[request]]
            self.get(collection, location, name)
            self._check_unused(collection, location, name)
            return self._operation(request, what, collection, location, lambda: self._drop(collection, location, name))

    def get(self, collection: str, location: str, name: str) -> Json:
        """A resource as it is."""
        with self.lock:
            found = self.resources[collection].get((location, name))
            if found is None:
                raise Refused(404, f"The resource '{location}/{collection}/{name}' was not found")
            return found

    def listed(self, collection: str, words: str = "") -> list[tuple[str, Json]]:
        """(location, resource) of all that fit the filter: pairs `labels.KEY = VALUE`, or nothing."""
        wanted = dict(re.findall(r"labels\.([-\w]+) = ([-\w]+)", words))
        if words and not wanted:
            raise Refused(400, f"Invalid value for field 'filter': '{words}'")
        with self.lock:
            return [
                (location, item)
                for (location, _), item in sorted(self.resources[collection].items())
                if wanted.items() <= item.get("labels", {}).items()
            ]

    def operation(self, name: str) -> Json:
        """An operation as it is."""
        with self.lock:
            if name not in self.operations:
                raise Refused(404, f"The resource 'operations/{name}' was not found")
            return self.operations[name]

    def group(self, zone: str, name: str, verb: str, body: Json, query: dict[str, str], what: str) -> Json:
        """A verb of a managed group that changes it."""
        with self.lock:
            group = self.get("instanceGroupManagers", zone, name)
            request = query.get("requestId", "")
            if request in self._by_request:
                return self.operations[self._by_request[request]]
            if verb == "resize":
                group["targetSize"] = int(query["size"])
            elif verb == "setInstanceTemplate":
                self.get("instanceTemplates", "", _last(body["instanceTemplate"]))
                group["instanceTemplate"] = body["instanceTemplate"]
            elif verb == "deleteInstances":
                self._delete_instances(zone, name, body)
            else:
                raise Refused(404, f"no verb {verb}")
            return self._operation(request, what, "instanceGroupManagers", zone, lambda: None)

    def managed_instances(self, zone: str, name: str) -> list[Json]:
        """`listManagedInstances`."""
        with self.lock:
            self.get("instanceGroupManagers", zone, name)
            machines = self.resources["instances"]
            return [
                {
                    "instance": f"projects/p/zones/{zone}/instances/{item.name}",
                    "name": item.name,
                    "currentAction": item.action,
                    "instanceStatus": machines.get((zone, item.name), {}).get("status", ""),
                }
                for item in self.managed[zone, name]
            ]

    def group_errors(self, zone: str, name: str) -> list[Json]:
        """`listErrors`."""
        with self.lock:
            self.get("instanceGroupManagers", zone, name)
            return list(self.errors[zone, name])

    def preempt(self, instance: str) -> None:
        """A spot machine vanishes without notice; its group makes it anew."""
        with self.lock:
            for (zone, _), items in self.managed.items():
                for item in items:
                    if item.name == instance:
                        self._lose(zone, item)
                        item.action, item.due = "RECREATING", time.time()

    # Time.

    def tick(self) -> None:
        """Let happen what is due."""
        with self.lock:
            now = time.time()
            due = [effect for effect in self._effects if effect[0] <= now]
            self._effects = [effect for effect in self._effects if effect[0] > now]
            for _, operation, effect in due:
                if "error" not in operation:
                    effect()
                operation["status"] = "DONE"
            for (zone, name), items in list(self.managed.items()):
                self._keep_size(zone, name, items, now)

    def _keep_size(self, zone: str, name: str, items: list[Managed], now: float) -> None:
        group = self.resources["instanceGroupManagers"][zone, name]
        staying = [item for item in items if item.action != "DELETING"]
        for _ in range(int(group["targetSize"]) - len(staying)):
            suffix = "".join(self._random.choices("bcdfghjklmnpqrstvwxz", k=4))
            items.append(Managed(f"{group['baseInstanceName']}-{suffix}", "CREATING", now))
        for item in staying[int(group["targetSize"]) :]:
            self._begin_delete(zone, item)
        for item in list(items):
            self._step(zone, name, group, item, now)

    def _step(self, zone: str, name: str, group: Json, item: Managed, now: float) -> None:
        if item.action == "NONE" and self.machines.ended(item.name):
            # The machine's own script removes it from its group.
            group["targetSize"] = int(group["targetSize"]) - 1
            self._begin_delete(zone, item)
        if now < item.due and not (item.action == "DELETING" and self.machines.ended(item.name)):
            return
        if item.action == "DELETING":
            self._lose(zone, item)
            self.managed[zone, name].remove(item)
        elif item.action in ("CREATING", "RECREATING") and not item.machine:
            self._make_machine(zone, name, group, item, now)
        elif item.action in ("CREATING", "RECREATING"):
            item.action = "NONE"
            machine = self.resources["instances"][zone, item.name]
            machine["status"] = "RUNNING"
            metadata = {entry["key"]: entry["value"] for entry in machine["metadata"]["items"]}
            self.machines.start(item.name, metadata)

    def _make_machine(self, zone: str, name: str, group: Json, item: Managed, now: float) -> None:
        taken = sum(location == zone for location, _ in self.resources["instances"])
        if zone in self.faults.no_stock:
            code, message = "ZONE_RESOURCE_POOL_EXHAUSTED", f"The zone '{zone}' does not have enough resources"
        elif taken >= self.faults.quota.get(zone, taken + 1):
            code, message = "QUOTA_EXCEEDED", f"Quota 'CPUS' exceeded. Limit: {self.faults.quota[zone]}"
        else:
            self._boot(zone, group, item, now)
            return
        error = {"error": {"code": code, "message": message}, "timestamp": _timestamp()}
        error["instanceActionDetails"] = {"action": "CREATING", "instance": f"zones/{zone}/instances/{item.name}"}
        self.errors[zone, name].append(error)
        item.due = now + self.times.retry

    def _boot(self, zone: str, group: Json, item: Managed, now: float) -> None:
        template = self.resources["instanceTemplates"]["", _last(group["instanceTemplate"])]
        self.resources["instances"][zone, item.name] = {
            **template["properties"],
            "name": item.name,
            "status": "STAGING",
            "creationTimestamp": _timestamp(),
        }
        item.machine, item.due = True, now + self.times.boot

    def _begin_delete(self, zone: str, item: Managed) -> None:
        item.action, item.due = "DELETING", time.time() + self.times.shutdown
        if item.machine:
            self.resources["instances"][zone, item.name]["status"] = "STOPPING"
            self.machines.notify(item.name)

    def _lose(self, zone: str, item: Managed) -> None:
        if item.machine:
            self.machines.stop(item.name)
            self.resources["instances"].pop((zone, item.name), None)
        item.machine = False

    def _delete_instances(self, zone: str, name: str, body: Json) -> None:
        group = self.resources["instanceGroupManagers"][zone, name]
        staying = {item.name: item for item in self.managed[zone, name] if item.action != "DELETING"}
        wanted = [_last(address) for address in body["instances"]]
        if (unknown := set(wanted) - staying.keys()) and not body.get("skipInstancesOnValidationError"):
            raise Refused(400, f"Invalid value for field 'instances': {sorted(unknown)}")
        for instance in (instance for instance in wanted if instance in staying):
            group["targetSize"] = int(group["targetSize"]) - 1
            self._begin_delete(zone, staying[instance])

    # Resources.

    def _put(self, collection: str, location: str, made: Json) -> None:
        self._coming.discard((collection, location, made["name"]))
        self.resources[collection][location, made["name"]] = made
        if collection == "instanceGroupManagers":
            self.managed[location, made["name"]] = []
            self.errors[location, made["name"]] = []
        if collection == "instances":
            made["status"] = "RUNNING"
            self.machines.start(made["name"], {e["key"]: e["value"] for e in made.get("metadata", {}).get("items", [])})

    def _drop(self, collection: str, location: str, name: str) -> None:
        if collection == "instanceGroupManagers":
            for item in self.managed.pop((location, name)):
                self._lose(location, item)
        if collection == "instances":
            self.machines.stop(name)
        del self.resources[collection][location, name]

    def _operation(self, request: str, what: str, collection: str, location: str, effect: Callable[[], None]) -> Json:
        operation: Json = {"name": f"operation-{len(self.operations)}", "status": "RUNNING"}
        scope = SCOPES[collection]
        if scope != "global":
            operation[scope.removesuffix("s")] = f"projects/p/{scope}/{location}"
        if fault := self.faults.take(self.faults.broken_operations, what, times=3):
            operation["error"] = {"errors": [{"code": fault[1], "message": fault[2]}]}
            self._coming = {item for item in self._coming if item[:2] != (collection, location)}
        self.operations[operation["name"]] = operation
        if request:
            self._by_request[request] = operation["name"]
        self._effects.append((time.time() + self.times.operation, operation, effect))
        return operation

    def _check_references(self, collection: str, location: str, body: Json) -> None:
        for kind, place, name in _references(collection, location, body):
            known = (place, name) in self.resources[kind] or (kind, name) == ("networks", "default")
            if not known:
                raise Refused(400, f"Invalid value: the referenced {kind}/{name} cannot be found")

    def _check_unused(self, collection: str, location: str, name: str) -> None:
        for user, items in self.resources.items():
            for (place, other), item in items.items():
                if (collection, location, name) in set(_references(user, place, item)):
                    raise Refused(400, f"The resource '{name}' is already being used by '{user}/{other}'")


def _references(collection: str, location: str, body: Json) -> Iterator[tuple[str, str, str]]:
    """(collection, location, name) of what a resource needs."""
    if collection == "instanceGroupManagers":
        yield "instanceTemplates", "", _last(body["instanceTemplate"])
    if collection in ("subnetworks", "firewalls"):
        yield "networks", "", _last(body["network"])
    properties = body.get("properties", body) if collection in ("instanceTemplates", "instances") else {}
    for interface in properties.get("networkInterfaces", []):
        yield "networks", "", _last(interface["network"])
    for disk in properties.get("disks", []):
        if "source" in disk:
            yield "disks", location, _last(disk["source"])


def _last(address: str) -> str:
    return address.rpartition("/")[2]


def _timestamp() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
