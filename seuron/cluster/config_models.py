"""The tables of a cluster's file, as types that check themselves.

Every field has a help text with its unit. No field holds a secret: credentials, the broker's and the
database's address are given by the path of a file, or by the name of a secret in Secret Manager.

What shows only between tables is checked by the validators of single fields too, against the document as it was
read, which is their context: so a user hears of everything at once, and each problem has its place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from seuron.cluster.machine_types import ATTACHABLE, ATTACHES_GPUS, GIB, MachineType, machine_with, nearest_types
from seuron.params.model import Parameters

#: What the operating system, Docker and the worker's own processes need of a machine.
RESERVED_BYTES = int(1.5 * GIB)

REGION = r"^[a-z]+(-[a-z]+)+\d+$"
#: Google's rule for names of resources; what is put behind a cluster's and a group's name must still fit.
ResourceName = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=20)]
#: The secrets that machines need.
SecretName = Literal["broker", "database", "results", "jwt"]


def _given(info: ValidationInfo, *place: str) -> Any:
    """What the document has at a place, right or wrong; None where there is nothing."""
    value: Any = info.context or {}
    for name in place:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _rows(info: ValidationInfo, table: str) -> list[Mapping[str, Any]]:
    rows = _given(info, table)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def _on_google(info: ValidationInfo) -> bool:
    return bool(_given(info, "provider") == "google")


def _missing() -> PydanticCustomError:
    """Said as of a required field: "is missing", with the field's description."""
    return PydanticCustomError("missing", "is missing")


def _in_region(zone: str, info: ValidationInfo) -> str:
    region = _given(info, "google", "region")
    known = isinstance(region, str) and re.match(REGION, region)
    if _on_google(info) and known and zone.rpartition("-")[0] != region:
        raise ValueError(f"this is not in the region {region!r}; all zones must be")
    return zone


def _loopback(endpoint: str) -> str:
    """A plain-text endpoint is asked without credentials, so it makes sense on this machine only."""
    if endpoint and urlsplit(endpoint).hostname not in ("127.0.0.1", "localhost", "::1"):
        raise ValueError("only an address of this machine is allowed, such as http://127.0.0.1:8123")
    return endpoint


def _google_only(value: Any, info: ValidationInfo) -> Any:
    if value and _given(info, "provider") == "processes":
        raise ValueError("this has no meaning with provider = 'processes'; remove it")
    return value


def _unique(table: str) -> AfterValidator:
    def check(name: str, info: ValidationInfo) -> str:
        count = sum(row.get("name") == name for row in _rows(info, table))
        if count > 1:
            raise ValueError(f"{count} of {table} have this name; each needs a name of its own")
        return name

    return AfterValidator(check)


Zone = Annotated[str, Field(pattern=r"^([a-z]+(-[a-z]+)+\d+-[a-z]|local)$"), AfterValidator(_in_region)]


class GoogleTable(Parameters):
    """`[google]`: where the machines are made, and as whom."""

    project: str = Field(min_length=1, description="the project's id")
    region: str = Field(pattern=REGION, description="such as us-east1; all zones must lie in it")
    service_account: str = Field(pattern=r"^[^@\s]+@[^@\s]+$", description="whom the machines act as")
    credentials_file: str | None = Field(
        None, description="a key file for `seuron cluster`; without it the application-default credentials"
    )
    network: str = Field("default", description="the network's name; made when create_network is true")
    subnetwork: str = Field("", description="the subnetwork's name; empty: the network has one in each region")
    create_network: bool = Field(False, description="make the network and a subnetwork in the region")
    subnetwork_range: str = Field("10.140.0.0/20", description="addresses of a subnetwork that is made")
    create_firewall: bool = Field(False, description="make the rules that the machines need among each other")
    ssh_from: tuple[str, ...] = Field((), description="address ranges that may come in by SSH, where rules are made")
    external_addresses: bool = Field(False, description="give machines addresses on the internet")
    endpoint: Annotated[str, AfterValidator(_loopback)] = Field(
        "", description="another Compute Engine API, for tests: asked without credentials"
    )


class ProcessesTable(Parameters):
    """`[processes]`: instances that are worker processes of this machine."""

    folder: str = Field(".seuron/machines", description="where the processes and their logs are written down")
    stop_seconds: float = Field(30.0, ge=0, description="from asking a worker to end until it is killed")


class ImagesTable(Parameters):
    """`[images]`: what machines boot, and the container that they run."""

    container: str = Field("", description="the container that holds seuron, with its tag or digest")
    machine: str = Field(
        "projects/cos-cloud/global/images/family/cos-stable", description="a machine image with Docker"
    )
    gpu_machine: str = Field("", description="one with Docker, NVIDIA's driver and its container toolkit")

    @field_validator("container")
    @classmethod
    def _check_container(cls, container: str, info: ValidationInfo) -> str:
        if not container and _on_google(info) and not all(row.get("container") for row in _rows(info, "groups")):
            raise _missing()
        return container


class QueueTable(Parameters):
    """`[[queues]]`: a kind of work. What a task on it may take follows from the queue's groups."""

    name: Annotated[ResourceName, _unique("queues")] = Field(description="such as cpu, memory, gpu")
    gpu: bool = Field(False, description="whether its tasks get a GPU")

    @field_validator("name")
    @classmethod
    def _check_served(cls, name: str, info: ValidationInfo) -> str:
        if name not in {row.get("queue") for row in _rows(info, "groups")}:
            raise ValueError(f"no group serves this queue; add a group with queue = {name!r}")
        return name


class MachineTable(Parameters):
    """What the manager and the machines of a group have in common."""

    zone: Zone = Field("local", description="where its machines are")
    cores: int | None = Field(None, gt=0, description="of a machine type that is not known")
    memory_gib: float | None = Field(None, gt=0, description="of a machine type that is not known, GiB")
    machine_type: Annotated[str, AfterValidator(_google_only)] = Field("", description="such as e2-standard-8")
    disk_gib: int = Field(50, ge=10, description="boot disk, GiB")
    disk_type: str = Field("pd-balanced", description="of its disks")
    machine_image: str = Field("", description="instead of `images.machine` or `images.gpu_machine`")
    container: str = Field("", description="instead of `images.container`")
    price: float | None = Field(None, ge=0, description="dollars an hour of one machine, instead of the table's")

    @field_validator("machine_type")
    @classmethod
    def _check_machine_type(cls, name: str, info: ValidationInfo) -> str:
        if _on_google(info) and not name:
            raise _missing()
        if _on_google(info) and _machine(info, name) is None:
            near = nearest_types(name)
            hint = f"did you mean {' or '.join(near)}? Else " if near else ""
            raise ValueError(f"this is not known; {hint}give its cores and memory_gib too")
        return name

    @property
    def machine(self) -> MachineType | None:
        """What one machine has; None where machines have no type."""
        return machine_with(self.machine_type, self.cores, self.memory_gib)


class ManagerTable(MachineTable):
    """`[manager]`: the machine of the scheduler, the database and the broker."""

    zone: Zone = Field(description="where the manager runs")
    machine_type: str = Field("e2-standard-4", description="of the manager")
    data_disk_gib: int = Field(100, ge=10, description="disk of the database and logs; a new manager takes it over")
    command: tuple[str, ...] = Field((), description="what its container runs, in the foreground; or give script")
    script: str | None = Field(None, description="a file with shell commands instead, such as `docker compose up`")

    @field_validator("script")
    @classmethod
    def _check_script(cls, script: str | None, info: ValidationInfo) -> str | None:
        if _on_google(info) and bool(info.data.get("command")) == bool(script):
            raise ValueError("give either the command of its container, or script, a file with shell commands")
        return script


class GroupTable(MachineTable):
    """`[[groups]]`: equal machines in one zone that serve one queue."""

    name: Annotated[ResourceName, _unique("groups")] = Field(description="unique in the cluster")
    queue: str = Field(description="the queue that its workers serve")
    slot_memory_gib: float | None = Field(
        None, gt=0, description="what a task may take, GiB; without it an equal share of the machine's memory"
    )
    slots: int = Field(gt=0, description="tasks that one machine does at a time")
    max_size: int = Field(gt=0, description="most machines")
    min_size: int = Field(0, ge=0, description="machines that `cluster create` asks for at once; 0 costs nothing")
    spot: Annotated[bool, AfterValidator(_google_only)] = Field(
        False, description="cheap machines that vanish without notice"
    )
    gpu_type: str = Field("", description="GPUs to attach to n1 machines; other types have theirs built in")
    gpus: Annotated[int, AfterValidator(_google_only)] = Field(0, ge=0, description="how many of them")

    @field_validator("queue")
    @classmethod
    def _check_queue(cls, queue: str, info: ValidationInfo) -> str:
        known = sorted(str(row.get("name")) for row in _rows(info, "queues"))
        if queue not in known:
            raise ValueError(f"[[queues]] has {', '.join(known) or 'none'}")
        return queue

    @field_validator("slots")
    @classmethod
    def _check_memory(cls, slots: int, info: ValidationInfo) -> int:
        machine, each = _machine(info), info.data.get("slot_memory_gib")
        if machine is None or not _on_google(info):
            return slots
        room = (machine.memory_bytes - RESERVED_BYTES) / GIB
        if each is not None and slots * each > room:
            raise ValueError(
                f"{slots} slots of {each:g} GiB do not fit into {machine.type}, which has {room:g} GiB to spare; "
                "take fewer slots or a larger machine"
            )
        if (each or room / slots) < 0.25:
            raise ValueError(f"this leaves under 0.25 GiB of {machine.type} to each; take fewer")
        return slots

    @field_validator("min_size")
    @classmethod
    def _check_sizes(cls, size: int, info: ValidationInfo) -> int:
        if size > info.data.get("max_size", size):
            raise ValueError(f"more than max_size {info.data['max_size']}")
        return size

    @field_validator("gpus")
    @classmethod
    def _check_gpus(cls, gpus: int, info: ValidationInfo) -> int:
        machine, gpu_type = _machine(info), info.data.get("gpu_type", "")
        if machine is None or not _on_google(info):
            return gpus
        if bool(gpus) != bool(gpu_type):
            raise ValueError(f"give both gpu_type and gpus, or neither; gpu_type is {gpu_type!r}")
        if gpus and machine.gpus:
            raise ValueError(f"{machine.type} has {machine.gpus} GPUs built in; remove gpu_type and gpus")
        if gpus and machine.family != ATTACHES_GPUS:
            raise ValueError(f"GPUs can be attached to {ATTACHES_GPUS} machines only, not to {machine.type}")
        if gpus and gpu_type not in ATTACHABLE:
            raise ValueError(f"gpu_type is {gpu_type!r}; those that can be attached are {', '.join(ATTACHABLE)}")
        queue, all_gpus = info.data.get("queue"), machine.gpus + gpus
        wanted = {row.get("name"): bool(row.get("gpu")) for row in _rows(info, "queues")}.get(queue, bool(all_gpus))
        if wanted and not all_gpus:
            raise ValueError(f"queue {queue!r} needs GPUs, {machine.type} has none; give gpu_type, gpus")
        if all_gpus and not wanted:
            raise ValueError(f"queue {queue!r} needs no GPU and {machine.type} has {all_gpus}; set its gpu = true")
        return gpus

    @property
    def all_gpus(self) -> int:
        """GPUs of one machine: built in, or attached."""
        return self.gpus + (self.machine.gpus if self.machine else 0)


class SecretTable(Parameters):
    """`[secrets.NAME]`: where the machines find a secret, never the secret."""

    file: str | None = Field(None, description="a file on the machines (with processes: on this one)")
    resource: str | None = Field(
        None,
        pattern=r"^projects/[^/]+/secrets/[^/]+$",
        description="in Secret Manager: machines fetch it as their service account when they start",
    )


class WorkerTable(Parameters):
    """`[worker]`: what all workers share."""

    environment: dict[str, str] = Field({}, description="environment variables; no secrets, use [secrets] for those")


def _machine(info: ValidationInfo, name: str | None = None) -> MachineType | None:
    """The machine that the fields before this one describe; None where one of them is wrong."""
    machine_type = info.data.get("machine_type", "") if name is None else name
    return machine_with(machine_type, info.data.get("cores"), info.data.get("memory_gib"))
