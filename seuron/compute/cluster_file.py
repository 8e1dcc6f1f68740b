"""A cluster's file: TOML in, a checked `Cluster` out, everything that is wrong with it at once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import psutil
from pydantic import ValidationError

from seuron.compute.cluster_checks import (
    Parts,
    group_gpus,
    machine_with,
    missing_tables,
    secret_problems,
    slot_memory,
    table_problems,
)
from seuron.compute.cluster_tables import (
    TABLES,
    ClusterTables,
    GoogleTable,
    GroupTable,
    ManagerTable,
    QueueTable,
    SecretTable,
)
from seuron.compute.groups import Group
from seuron.compute.machine_types import GIB, Machine
from seuron.compute.prices import PriceTable
from seuron.compute.settings import PolicySettings
from seuron.engine.queues import QueueOffer
from seuron.errors import ParameterErrors
from seuron.params.model import Parameters

Table = TypeVar("Table", bound=Parameters)


@dataclass(frozen=True)
class Cluster:
    """A cluster as its file describes it. `folder` is what relative paths in it begin at."""

    tables: ClusterTables
    folder: Path

    @property
    def name(self) -> str:
        """The deployment's name: the label of all that it makes."""
        return self.tables.name

    @property
    def provider(self) -> str:
        """`google` or `processes`."""
        return self.tables.provider

    @property
    def budget_dollars(self) -> float | None:
        """What all runs may cost together; None: no limit."""
        return self.tables.budget_dollars

    @property
    def policy(self) -> PolicySettings:
        """The table `[policy]`."""
        return self.tables.policy

    @property
    def secrets(self) -> dict[str, SecretTable]:
        """Where secrets are to be found, by their names."""
        return {str(name): table for name, table in self.tables.secrets.items()}

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The groups, in the file's order."""
        return tuple(self._group(table) for table in self.tables.groups)

    @cached_property
    def offers(self) -> tuple[QueueOffer, ...]:
        """What one slot of each queue has, in whichever of its groups a task lands: the least of them."""
        return tuple(self._offer(queue) for queue in self.tables.queues)

    def group_table(self, name: str) -> GroupTable:
        """The file's table of one group."""
        return next(table for table in self.tables.groups if table.name == name)

    def group(self, name: str) -> Group:
        """One group, by its name."""
        return next(group for group in self.groups if group.name == name)

    def machine(self, table: GroupTable | ManagerTable) -> Machine:
        """What one machine of a group, or the manager, has."""
        if self.provider == "processes":
            memory = psutil.virtual_memory().total
            return Machine("this machine", "local", psutil.cpu_count() or 1, memory)
        found = machine_with(table.machine_type, table.cores, table.memory_gib)
        if found is None:
            raise ParameterErrors([f"machine type {table.machine_type!r} is not known"], "the cluster's file")
        return found

    def manager_price(self) -> float:
        """Dollars an hour that the manager costs, its data disk included; 0 without one."""
        manager = self.tables.manager
        if manager is None or self.provider == "processes":
            return 0.0
        disks = manager.disk_gib + manager.data_disk_gib
        listed = self._prices.instance(self.machine(manager), False, "", 0, manager.disk_type, disks)
        return manager.price if manager.price is not None else listed or 0.0

    def path(self, name: str) -> Path:
        """A path of the file, absolute."""
        return (self.folder / Path(name).expanduser()).resolve()

    @cached_property
    def _prices(self) -> PriceTable:
        return _price_table(self.tables)

    def _group(self, table: GroupTable) -> Group:
        machine = self.machine(table)
        memory = self._process_memory(table) if self.provider == "processes" else machine.memory_bytes
        return Group(
            name=table.name,
            queue=table.queue,
            zone=table.zone,
            slots=table.slots,
            memory_bytes=slot_memory(table, memory) if self.provider == "google" else memory,
            max_size=table.max_size,
            price=self._price(table) or 0.0,
            spot=table.spot,
            gpus=group_gpus(table, machine),
        )

    def _price(self, table: GroupTable) -> float | None:
        if table.price is not None or self.provider == "processes":
            return table.price
        return self._prices.instance(
            self.machine(table), table.spot, table.gpu_type, table.gpus, table.disk_type, table.disk_gib
        )

    def _process_memory(self, table: GroupTable) -> int:
        """A slot's bytes where all groups share this machine: as given, or an equal share."""
        if table.slot_memory_gib is not None:
            return int(table.slot_memory_gib * GIB)
        slots = sum(group.slots * group.max_size for group in self.tables.groups)
        return psutil.virtual_memory().total // slots

    def _offer(self, queue: QueueTable) -> QueueOffer:
        groups = [group for group in self.groups if group.queue == queue.name]
        return QueueOffer(
            queue.name, min(group.memory_bytes for group in groups), min(gpus_of_slot(group) for group in groups)
        )


def gpus_of_slot(group: Group) -> int:
    """GPUs that a slot sees: its share, at least one where the machine has any (slots then share it)."""
    return max(1, group.gpus // group.slots) if group.gpus else 0


def read_cluster(path: str | Path) -> Cluster:
    """The cluster that a file describes; raises ParameterErrors with all that is wrong with it."""
    file = Path(path)
    try:
        document = tomllib.loads(file.read_text())
    except OSError as error:
        raise ParameterErrors([f"cannot read {file}: {error.strerror}; give the path of a TOML file"], "it") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParameterErrors([f"not TOML: {error}"], f"the cluster's file {file}") from error
    return parse_cluster(document, file.parent.resolve(), str(file))


def parse_cluster(document: Mapping[str, Any], folder: Path, name: str = "") -> Cluster:
    """The cluster of a parsed file; raises ParameterErrors with all that is wrong with it."""
    problems = list(secret_problems(document))
    tables: ClusterTables | None = None
    try:
        tables = ClusterTables.model_validate(dict(document))
    except ValidationError as error:
        # A secret's own problem has been told, and pydantic's would repeat its value.
        told = [problem.split("`")[1] for problem in problems]
        found = [(_place(item["loc"]), text) for item in error.errors() for text in _explain(dict(item))]
        problems += [text for place, text in found if not any(place.startswith(secret) for secret in told)]
    parts = _parts(document)
    problems += missing_tables(parts.provider, document, tuple(parts.groups.values()))
    problems += table_problems(parts)
    if tables is not None and not problems:
        cluster = Cluster(tables, folder)
        problems += _price_problems(cluster)
        if not problems:
            return cluster
    raise ParameterErrors(list(dict.fromkeys(problems)), f"the cluster's file {name}".strip())


def _parts(document: Mapping[str, Any]) -> Parts:
    queues, groups = _list(document, "queues"), _list(document, "groups")
    valid_queues = _valid_items(QueueTable, queues)
    return Parts(
        provider=str(document.get("provider")),
        google=_valid(GoogleTable, _known_keys(GoogleTable, document.get("google"))),
        manager=_valid(ManagerTable, document.get("manager")),
        queues=valid_queues,
        groups=_valid_items(GroupTable, groups),
        asked_queues=frozenset(str(group["queue"]) for group in groups if isinstance(group, dict) and "queue" in group),
        all_queues=len(valid_queues) == len(queues),
    )


def _list(document: Mapping[str, Any], name: str) -> list[Any]:
    value = document.get(name)
    return value if isinstance(value, list) else []


def _known_keys(model: type[Parameters], values: Any) -> Any:
    """The table without unknown keys, so that a misspelt one does not hide what is wrong with zones."""
    if not isinstance(values, dict):
        return values
    return {key: value for key, value in values.items() if key in model.model_fields}


def _valid(model: type[Table], values: Any) -> Table | None:
    try:
        return model.model_validate(values)
    except ValidationError:
        return None


def _valid_items(model: type[Table], items: list[Any]) -> dict[int, Table]:
    valid = ((index, _valid(model, item)) for index, item in enumerate(items))
    return {index: table for index, table in valid if table is not None}


def _price_problems(cluster: Cluster) -> list[str]:
    return [
        f"`groups[{index}].price` is missing: the price table lacks a part of {table.machine_type}; "
        "give dollars an hour"
        for index, table in enumerate(cluster.tables.groups)
        if cluster.provider == "google" and cluster._price(table) is None
    ]


def _price_table(tables: ClusterTables) -> PriceTable:
    def flat(rows: Mapping[str, Any]) -> dict[tuple[str, bool], float]:
        pairs = [((name, False), row.on_demand) for name, row in rows.items()]
        pairs += [((name, True), row.spot) for name, row in rows.items()]
        return {key: price for key, price in pairs if price is not None}

    return PriceTable(flat(tables.prices.machines), flat(tables.prices.gpus), dict(tables.prices.disks))


def _place(location: tuple[int | str, ...]) -> str:
    """`groups[2].zone` of pydantic's ("groups", 2, "zone")."""
    text = ""
    for part in location:
        if part == "[key]":
            continue
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _model_at(location: tuple[int | str, ...]) -> type[Parameters]:
    """The model whose field a problem is about."""
    names = [part for part in location[:-1] if isinstance(part, str)]
    return TABLES.get(".".join(names)) or TABLES.get(".".join(names[:-1])) or ClusterTables


def _explain(item: dict[str, Any]) -> list[str]:
    """A sentence for one of pydantic's errors; a check of several fields may hold more."""
    place, model, name = _place(item["loc"]), _model_at(item["loc"]), str(item["loc"][-1] if item["loc"] else "")
    if item["type"] == "extra_forbidden":
        near = get_close_matches(name, model.model_fields, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"known are: {', '.join(model.model_fields)}"
        return [f"`{place}` is not known; {hint}"]
    field = model.model_fields.get(name)
    what = f" ({field.description})" if field is not None and field.description else ""
    if item["type"] == "missing":
        return [f"`{place}` is missing{what}"]
    message = str(item["msg"]).removeprefix("Value error, ")
    if ".".join(part for part in item["loc"] if isinstance(part, str)) in TABLES and item["type"] == "value_error":
        # About several fields, which it names itself.
        return [f"`{place}`: {line}" if place else line for line in message.split("\n")]
    return [f"`{place}`: got {item.get('input')!r}: {message}{what}"]
