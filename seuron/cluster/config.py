"""A cluster's file: TOML in, a checked `Cluster` out, everything that is wrong with it at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import psutil
from pydantic import Field, PrivateAttr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from seuron.cluster.config_models import (
    RESERVED_BYTES,
    GoogleTable,
    GroupTable,
    ImagesTable,
    MachineTable,
    ManagerTable,
    ProcessesTable,
    QueueTable,
    ResourceName,
    SecretName,
    SecretTable,
    WorkerTable,
)
from seuron.cluster.costs.prices import PriceTable
from seuron.cluster.groups import Group
from seuron.cluster.machine_types import GIB
from seuron.cluster.settings import PolicySettings
from seuron.engine.queues import QueueCapacity
from seuron.errors import ParameterErrors
from seuron.params.model import Parameters
from seuron.params.typed_file import model_at, read_toml

_SECRET_KEY = re.compile(r"passw|secret|token|api_?key|private|credential|signature|fernet|jwt", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"-----BEGIN|://[^/\s:@]*:[^/\s@]+@|\bAIza[\w-]{30}|\bya29\.|\bAKIA[0-9A-Z]{12}")
#: Keys that look like secrets and hold none, by their place.
_HARMLESS = re.compile(r"^(google\.credentials_file|secrets(\.\w+(\.(file|resource))?)?)$")
#: A table that was left out: checked like one that is there and empty.
_EMPTY: Any = {}


class Cluster(Parameters):
    """A cluster as its file describes it."""

    name: ResourceName = Field(description="of the deployment; the label of everything it makes")
    provider: Literal["google", "processes"] = Field(description="who makes the machines")
    budget_dollars: float | None = Field(None, gt=0, description="what all runs may cost together; none: no limit")
    google: GoogleTable | None = Field(None, description="needed with provider = 'google'")
    processes: ProcessesTable = Field(_EMPTY, description="settings of provider = 'processes'")
    manager: ManagerTable | None = Field(None, description="needed with provider = 'google'")
    images: ImagesTable = Field(_EMPTY, description="what the machines run")
    queues: tuple[QueueTable, ...] = Field(min_length=1, description="kinds of work")
    group_tables: tuple[GroupTable, ...] = Field(alias="groups", min_length=1, description="machines for them")
    prices: PriceTable = Field(_EMPTY, description="your own prices")
    secrets: dict[SecretName, SecretTable] = Field({}, description="where the machines find addresses and keys")
    worker: WorkerTable = Field(_EMPTY, description="what all workers share")
    policy: PolicySettings = Field(_EMPTY, description="when groups grow and shrink")
    #: What relative paths in the file begin at.
    _folder: Path = PrivateAttr(default_factory=Path.cwd)

    @field_validator("google", "manager")
    @classmethod
    def _check_given(cls, table: Parameters | None, info: ValidationInfo) -> Parameters | None:
        if table is None and info.data.get("provider") == "google":
            raise PydanticCustomError("missing", "is missing")
        return table

    @model_validator(mode="after")
    def _check_prices(self) -> Self:
        missing = [
            f"`groups[{index}].price` is missing: the price table lacks a part of {table.machine_type}; "
            "give dollars an hour"
            for index, table in enumerate(self.group_tables)
            if self._price(table) is None
        ]
        if missing:
            raise ValueError("\n".join(missing))
        return self

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The groups, in the file's order."""
        return tuple(self._group(table) for table in self.group_tables)

    @cached_property
    def capacities(self) -> tuple[QueueCapacity, ...]:
        """What one slot of each queue has, in whichever of its groups a task lands: the least of them."""
        return tuple(
            QueueCapacity(queue.name, min(g.memory_bytes for g in groups), min(g.gpus_of_slot for g in groups))
            for queue in self.queues
            if (groups := [group for group in self.groups if group.queue == queue.name])
        )

    def group(self, name: str) -> Group:
        """One group, by its name."""
        return next(group for group in self.groups if group.name == name)

    def table(self, name: str) -> GroupTable:
        """The file's table of one group."""
        return next(table for table in self.group_tables if table.name == name)

    def manager_price(self) -> float:
        """Dollars an hour that the manager costs, its data disk included; 0 without one."""
        if self.manager is None or self.provider == "processes":
            return 0.0
        return self._price(self.manager, self.manager.data_disk_gib) or 0.0

    def highest_price(self) -> float:
        """Dollars an hour with every group at its largest, the manager included."""
        return self.manager_price() + sum(group.price * group.max_size for group in self.groups)

    def path(self, name: str) -> Path:
        """A path of the file, absolute."""
        return (self._folder / Path(name).expanduser()).resolve()

    def _group(self, table: GroupTable) -> Group:
        return Group(
            name=table.name,
            queue=table.queue,
            zone=table.zone,
            slots=table.slots,
            memory_bytes=self._slot_memory(table),
            max_size=table.max_size,
            price=self._price(table) or 0.0,
            spot=table.spot,
            gpus=table.all_gpus,
        )

    def _slot_memory(self, table: GroupTable) -> int:
        """What one slot may take, in bytes: as given, or an equal share of what its machine has to spare.

        With processes all groups share this machine.
        """
        if table.slot_memory_gib is not None:
            return int(table.slot_memory_gib * GIB)
        if table.machine is not None:
            return max(0, table.machine.memory_bytes - RESERVED_BYTES) // table.slots
        return psutil.virtual_memory().total // sum(group.slots * group.max_size for group in self.group_tables)

    def _price(self, table: MachineTable, more_disk_gib: int = 0) -> float | None:
        """Dollars an hour of one machine; None when the price table lacks a part of it."""
        if table.price is not None or self.provider == "processes" or table.machine is None:
            return table.price or 0.0
        spot, gpu_type, gpus = False, "", 0
        if isinstance(table, GroupTable):
            spot, gpu_type, gpus = table.spot, table.gpu_type, table.gpus
        disk_gib = table.disk_gib + more_disk_gib
        return self.prices.instance(table.machine, spot, gpu_type, gpus, table.disk_type, disk_gib)


def read_cluster(path: str | Path) -> Cluster:
    """The cluster that a file describes; raises ParameterErrors with all that is wrong with it."""
    file = Path(path)
    return parse_cluster(read_toml(file, "the cluster's file"), file.parent.resolve(), str(file))


def parse_cluster(document: Mapping[str, Any], folder: Path, name: str = "") -> Cluster:
    """The cluster of a parsed file; raises ParameterErrors with all that is wrong with it."""
    secrets = dict(_secrets(document))
    problems = list(secrets.values())
    try:
        cluster = Cluster.model_validate(dict(document), context=dict(document))
        cluster._folder = folder
    except ValidationError as error:
        found = [(_place(item["loc"]), text) for item in error.errors() for text in _explain(dict(item))]
        # What pydantic says of a secret's place would repeat its value.
        problems += [text for place, text in found if not any(place.startswith(secret) for secret in secrets)]
    if problems:
        raise ParameterErrors(list(dict.fromkeys(problems)), f"the cluster's file {name}".strip())
    return cluster


def _secrets(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """A place and a problem for each key or text that looks like a secret; the secret itself is never repeated."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            where = f"{place}.{key}" if place else str(key)
            if _SECRET_KEY.search(str(key)) and not _HARMLESS.match(where):
                yield where, f"`{where}` looks like a secret; put it into a file and give the file's path in [secrets]"
            else:
                yield from _secrets(inner, where)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _secrets(inner, f"{place}[{index}]")
    elif isinstance(value, str) and _SECRET_VALUE.search(value):
        problem = f"`{place}` holds a secret (a key, or an address with a password); put it into a file, see [secrets]"
        yield place, problem


def _place(location: tuple[int | str, ...]) -> str:
    """`groups[2].zone` of pydantic's ("groups", 2, "zone")."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location if part != "[key]")
    return "".join(parts).removeprefix(".")


def _explain(item: dict[str, Any]) -> list[str]:
    """A sentence for one of pydantic's errors; a check of several fields may hold more."""
    location, place = item["loc"], _place(item["loc"])
    name = str(location[-1]) if location else ""
    table = model_at(Cluster, ["group_tables" if part == "groups" else part for part in location[:-1]])
    fields = {field.alias or key: field for key, field in table.model_fields.items()}
    if item["type"] == "extra_forbidden":
        near = get_close_matches(name, fields, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"known are: {', '.join(fields)}"
        return [f"`{place}` is not known; {hint}"]
    what = f" ({fields[name].description})" if name in fields and fields[name].description else ""
    if item["type"] == "missing":
        return [f"`{place}` is missing{what}"]
    if item["type"] == "too_short" and item["input"]:
        return []  # all rows are wrong, and each has a sentence of its own
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "value_error" and isinstance(item.get("input"), Mapping):
        # About several fields, which it names itself.
        return [f"`{place}`: {line}" if place else line for line in message.split("\n")]
    return [f"`{place}`: got {item.get('input')!r}: {message}{what}"]
