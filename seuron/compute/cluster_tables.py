"""The tables of a cluster's file, as types. What only shows between tables is in `cluster_file`.

Every field has a help text with its unit. No field holds a secret: credentials, the broker's and the
database's address are given by the path of a file, or by the name of a secret in Secret Manager.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from seuron.compute.settings import PolicySettings
from seuron.params.model import Parameters

#: Google's rule for names of resources; what is put behind a cluster's and a group's name must still fit.
_NAME = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_ZONE = r"[a-z]+(-[a-z]+)+\d+-[a-z]"


def _name(length: int) -> Any:
    return Field(pattern=rf"^{_NAME}$", max_length=length)


def _loopback(endpoint: str) -> str:
    """A plain-text endpoint is asked without credentials, so it makes sense on this machine only."""
    from urllib.parse import urlsplit

    if endpoint and urlsplit(endpoint).hostname not in ("127.0.0.1", "localhost", "::1"):
        raise ValueError("only an address of this machine is allowed, such as http://127.0.0.1:8123")
    return endpoint


Name = Annotated[str, _name(20)]
Zone = Annotated[str, Field(pattern=rf"^({_ZONE}|local)$")]
Endpoint = Annotated[str, AfterValidator(_loopback)]


class GoogleTable(Parameters):
    """`[google]`: where the machines are made, and as whom."""

    project: str = Field(min_length=1, description="the project's id")
    region: str = Field(pattern=r"^[a-z]+(-[a-z]+)+\d+$", description="such as us-east1; all zones must lie in it")
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
    endpoint: Endpoint = Field("", description="another Compute Engine API, for tests: asked without credentials")


class ProcessesTable(Parameters):
    """`[processes]`: instances that are worker processes of this machine."""

    folder: str = Field(".seuron/machines", description="where the processes and their logs are written down")
    stop_seconds: float = Field(30.0, ge=0, description="from asking a worker to end until it is killed")


class ManagerTable(Parameters):
    """`[manager]`: the machine of the scheduler, the database and the broker."""

    zone: Zone = Field(description="where the manager runs")
    machine_type: str = Field("e2-standard-4", description="of the manager")
    cores: int | None = Field(None, gt=0, description="of a machine type that is not known")
    memory_gib: float | None = Field(None, gt=0, description="of a machine type that is not known, GiB")
    disk_gib: int = Field(50, ge=10, description="boot disk, GiB")
    data_disk_gib: int = Field(100, ge=10, description="disk of the database and logs; a new manager takes it over")
    disk_type: str = Field("pd-balanced", description="of both disks")
    machine_image: str = Field("", description="instead of `images.machine`")
    container: str = Field("", description="instead of `images.container`")
    command: tuple[str, ...] = Field((), description="what its container runs, in the foreground; or give script")
    script: str | None = Field(None, description="a file with shell commands instead, such as `docker compose up`")
    price: float | None = Field(None, ge=0, description="dollars an hour, instead of the table's")


class ImagesTable(Parameters):
    """`[images]`: what machines boot, and the container that they run."""

    container: str = Field("", description="the container that holds seuron, with its tag or digest")
    machine: str = Field(
        "projects/cos-cloud/global/images/family/cos-stable", description="a machine image with Docker"
    )
    gpu_machine: str = Field("", description="one with Docker, NVIDIA's driver and its container toolkit")


class QueueTable(Parameters):
    """`[[queues]]`: a kind of work. What a task on it may take follows from the queue's groups."""

    name: Name = Field(description="such as cpu, memory, gpu")
    gpu: bool = Field(False, description="whether its tasks get a GPU")


class GroupTable(Parameters):
    """`[[groups]]`: equal machines in one zone that serve one queue."""

    name: Name = Field(description="unique in the cluster")
    queue: str = Field(description="the queue that its workers serve")
    zone: Zone = Field("local", description="where its machines are")
    machine_type: str = Field("", description="such as e2-standard-8")
    cores: int | None = Field(None, gt=0, description="of a machine type that is not known")
    memory_gib: float | None = Field(None, gt=0, description="of a machine type that is not known, GiB")
    slots: int = Field(gt=0, description="tasks that one machine does at a time")
    slot_memory_gib: float | None = Field(
        None, gt=0, description="what a task may take, GiB; without it an equal share of the machine's memory"
    )
    min_size: int = Field(0, ge=0, description="machines that `cluster create` asks for at once; 0 costs nothing")
    max_size: int = Field(gt=0, description="most machines")
    spot: bool = Field(False, description="cheap machines that vanish without notice")
    disk_gib: int = Field(50, ge=10, description="boot disk, GiB")
    disk_type: str = Field("pd-balanced", description="of the boot disk")
    gpu_type: str = Field("", description="GPUs to attach to n1 machines; other types have theirs built in")
    gpus: int = Field(0, ge=0, description="how many of them")
    machine_image: str = Field("", description="instead of `images.machine` or `images.gpu_machine`")
    container: str = Field("", description="instead of `images.container`")
    price: float | None = Field(None, ge=0, description="dollars an hour of one machine, instead of the table's")


class PriceRow(Parameters):
    """Dollars an hour, on demand and spot; one of them may be left out."""

    on_demand: float | None = Field(None, ge=0, description="dollars an hour")
    spot: float | None = Field(None, ge=0, description="dollars an hour")


class PricesTable(Parameters):
    """`[prices]`: your own prices, before those of the shipped table."""

    machines: dict[str, PriceRow] = Field({}, description="by machine type, built-in GPUs included")
    gpus: dict[str, PriceRow] = Field({}, description="by type of an attached GPU")
    disks: dict[str, Annotated[float, Field(ge=0)]] = Field({}, description="dollars a GiB and month, by type")


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


class ClusterTables(Parameters):
    """The whole file."""

    name: Name = Field(description="of the deployment; the label of everything it makes")
    provider: Literal["google", "processes"] = Field(description="who makes the machines")
    budget_dollars: float | None = Field(None, gt=0, description="what all runs may cost together; none: no limit")
    google: GoogleTable | None = Field(None, description="needed with provider = 'google'")
    processes: ProcessesTable = Field(
        ProcessesTable.model_validate({}), description="settings of provider = 'processes'"
    )
    manager: ManagerTable | None = Field(None, description="needed with provider = 'google'")
    images: ImagesTable = Field(ImagesTable.model_validate({}), description="what the machines run")
    queues: tuple[QueueTable, ...] = Field(min_length=1, description="kinds of work")
    groups: tuple[GroupTable, ...] = Field(min_length=1, description="machines for them")
    prices: PricesTable = Field(PricesTable.model_validate({}), description="your own prices")
    secrets: dict[Literal["broker", "database", "results", "jwt"], SecretTable] = Field(
        {}, description="where the machines find addresses and keys"
    )
    worker: WorkerTable = Field(WorkerTable.model_validate({}), description="what all workers share")
    policy: PolicySettings = Field(PolicySettings(), description="when groups grow and shrink")


#: The model of each table, by its place in the file.
TABLES: dict[str, type[Parameters]] = {
    "": ClusterTables,
    "google": GoogleTable,
    "processes": ProcessesTable,
    "manager": ManagerTable,
    "images": ImagesTable,
    "queues": QueueTable,
    "groups": GroupTable,
    "prices": PricesTable,
    "prices.machines": PriceRow,
    "prices.gpus": PriceRow,
    "secrets": SecretTable,
    "worker": WorkerTable,
    "policy": PolicySettings,
}
