"""Checks of a cluster's file that one table alone cannot answer, and the refusal of secrets.

All work on those tables that are fine by themselves, so that a user hears of everything at once.
Messages begin with the place in the file, such as `groups[2].zone`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seuron.compute.cluster_tables import GoogleTable, GroupTable, ManagerTable, QueueTable
from seuron.compute.machine_types import ATTACHABLE, ATTACHES_GPUS, GIB, Machine, machine_of, nearest_types

#: What the operating system, Docker and the worker's own processes need of a machine.
RESERVED_BYTES = int(1.5 * GIB)

_SECRET_KEY = re.compile(r"passw|secret|token|api_?key|private|credential|signature|fernet|jwt", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"-----BEGIN|://[^/\s:@]*:[^/\s@]+@|\bAIza[\w-]{30}|\bya29\.|\bAKIA[0-9A-Z]{12}")
#: Keys that look like secrets and hold none, by their place.
_HARMLESS = re.compile(r"^(google\.credentials_file|secrets(\.\w+(\.(file|resource))?)?)$")


@dataclass(frozen=True)
class Parts:
    """The tables that are fine by themselves. Groups and queues keep their position in the file."""

    provider: str
    google: GoogleTable | None
    manager: ManagerTable | None
    queues: Mapping[int, QueueTable]
    groups: Mapping[int, GroupTable]
    #: Names of queues that groups ask for, those of wrong groups among them.
    asked_queues: frozenset[str]
    #: Whether all queues were fine; else a group may ask for one that could not be read.
    all_queues: bool


def secret_problems(value: Any, place: str = "") -> Iterator[str]:
    """A problem for each key or text that looks like a secret; the secret itself is never repeated."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            where = f"{place}.{key}" if place else str(key)
            if _SECRET_KEY.search(str(key)) and not _HARMLESS.match(where):
                yield f"`{where}` looks like a secret; put it into a file and give the file's path in [secrets]"
            else:
                yield from secret_problems(inner, where)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from secret_problems(inner, f"{place}[{index}]")
    elif isinstance(value, str) and _SECRET_VALUE.search(value):
        yield f"`{place}` holds a secret (a key, or an address with a password); put it into a file, see [secrets]"


def table_problems(parts: Parts) -> Iterator[str]:
    """What does not fit together."""
    yield from _double("queues", {index: queue.name for index, queue in parts.queues.items()})
    yield from _double("groups", {index: group.name for index, group in parts.groups.items()})
    yield from _queues(parts)
    for index, group in parts.groups.items():
        yield from _group(f"groups[{index}]", group, parts)
    if parts.provider == "google" and parts.manager is not None:
        yield from _manager(parts.manager, parts.google)


def machine_with(machine_type: str, cores: int | None, memory_gib: float | None) -> Machine | None:
    """The machine of a known type, or of an unknown one whose cores and memory are given."""
    known = machine_of(machine_type)
    if known is not None or not machine_type or cores is None or memory_gib is None:
        return known
    return Machine(machine_type, machine_type.split("-")[0], cores, int(memory_gib * GIB))


def group_gpus(group: GroupTable, machine: Machine) -> int:
    """GPUs of one machine: built in, or attached."""
    return machine.gpus + group.gpus


def slot_memory(group: GroupTable, machine_bytes: int) -> int:
    """What one slot may take, in bytes: as given, or an equal share of what the machine has to spare."""
    if group.slot_memory_gib is not None:
        return int(group.slot_memory_gib * GIB)
    return max(0, machine_bytes - RESERVED_BYTES) // group.slots


def _double(table: str, names: Mapping[int, str]) -> Iterator[str]:
    for name, count in Counter(names.values()).items():
        if count > 1:
            where = ", ".join(f"{table}[{index}]" for index, other in names.items() if other == name)
            yield f"{where}: got the name {name!r} {count} times; every one needs a name of its own"


def _queues(parts: Parts) -> Iterator[str]:
    for index, queue in parts.queues.items():
        if queue.name not in parts.asked_queues:
            yield f"`queues[{index}].name`: no group serves {queue.name!r}; add a group with queue = {queue.name!r}"


def _group(place: str, group: GroupTable, parts: Parts) -> Iterator[str]:
    queues = {queue.name: queue for queue in parts.queues.values()}
    if parts.all_queues and group.queue not in queues:
        yield f"`{place}.queue`: got {group.queue!r}; [[queues]] has {', '.join(sorted(queues)) or 'none'}"
    if group.min_size > group.max_size:
        yield f"`{place}.min_size`: got {group.min_size}, more than max_size {group.max_size}"
    if parts.provider == "google":
        yield from _zone(f"{place}.zone", group.zone, parts.google)
        yield from _group_machine(place, group, queues.get(group.queue))
    elif group.machine_type or group.gpus or group.spot:
        yield f"`{place}`: machine_type, gpus and spot have no meaning with provider = 'processes'; remove them"


def _group_machine(place: str, group: GroupTable, queue: QueueTable | None) -> Iterator[str]:
    machine = machine_with(group.machine_type, group.cores, group.memory_gib)
    if machine is None:
        yield _unknown_machine(place, group.machine_type)
        return
    yield from _memory(place, group, machine)
    yield from _attached(place, group, machine)
    gpus = group_gpus(group, machine)
    if queue is not None and queue.gpu and gpus == 0:
        yield f"`{place}.machine_type`: queue {queue.name!r} needs GPUs, {machine.type} has none; give gpu_type, gpus"
    if queue is not None and not queue.gpu and gpus:
        yield f"`{place}.queue`: queue {queue.name!r} needs no GPU and {machine.type} has {gpus}; set its gpu = true"


def _memory(place: str, group: GroupTable, machine: Machine) -> Iterator[str]:
    room = (machine.memory_bytes - RESERVED_BYTES) / GIB
    if group.slot_memory_gib is not None and group.slots * group.slot_memory_gib > room:
        yield (
            f"`{place}.slots`: {group.slots} slots of {group.slot_memory_gib:g} GiB do not fit into {machine.type}, "
            f"which has {room:g} GiB to spare; take fewer slots or a larger machine"
        )
    elif slot_memory(group, machine.memory_bytes) < GIB // 4:
        yield f"`{place}.slots`: got {group.slots}, which leaves under 0.25 GiB of {machine.type} to each; take fewer"


def _attached(place: str, group: GroupTable, machine: Machine) -> Iterator[str]:
    if bool(group.gpus) != bool(group.gpu_type):
        yield f"`{place}.gpus`: give both gpu_type and gpus, or neither; got {group.gpu_type!r} and {group.gpus}"
    elif group.gpus and machine.gpus:
        yield f"`{place}.gpu_type`: {machine.type} has {machine.gpus} GPUs built in; remove gpu_type and gpus"
    elif group.gpus and machine.family != ATTACHES_GPUS:
        yield f"`{place}.gpu_type`: GPUs can be attached to {ATTACHES_GPUS} machines only, not to {machine.type}"
    elif group.gpus and group.gpu_type not in ATTACHABLE:
        yield f"`{place}.gpu_type`: got {group.gpu_type!r}; those that can be attached are {', '.join(ATTACHABLE)}"


def _unknown_machine(place: str, machine_type: str) -> str:
    if not machine_type:
        return f"`{place}.machine_type` is missing; give one, such as e2-standard-8"
    near = nearest_types(machine_type)
    hint = f"did you mean {' or '.join(near)}? Else " if near else ""
    return f"`{place}.machine_type`: {machine_type!r} is not known; {hint}give its cores and memory_gib too"


def _zone(place: str, zone: str, google: GoogleTable | None) -> Iterator[str]:
    if google is not None and zone.rpartition("-")[0] != google.region:
        yield f"`{place}`: got {zone!r}, which is not in the region {google.region!r}; all zones must be"


def _manager(manager: ManagerTable, google: GoogleTable | None) -> Iterator[str]:
    yield from _zone("manager.zone", manager.zone, google)
    if machine_with(manager.machine_type, manager.cores, manager.memory_gib) is None:
        yield _unknown_machine("manager", manager.machine_type)
    if bool(manager.command) == bool(manager.script):
        yield "`manager.command`: give either the command of its container, or script, a file with shell commands"


def missing_tables(provider: str, document: Mapping[str, Any], groups: Sequence[GroupTable]) -> Iterator[str]:
    """Tables that Google needs and that the file lacks."""
    if provider != "google":
        return
    for table in ("google", "manager"):
        if table not in document:
            yield f"`{table}` is missing; provider = 'google' needs a table [{table}]"
    images = document.get("images", {})
    container = images.get("container") if isinstance(images, Mapping) else "?"
    if not container and not all(group.container for group in groups):
        yield "`images.container` is missing; give the container that holds seuron, with its tag or digest"
