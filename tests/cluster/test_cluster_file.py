"""The cluster's file: what it gives, and that everything wrong with it is told at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clusters import google_cluster, google_document
from hypothesis import given
from hypothesis import strategies as st

from seuron.cluster.config import parse_cluster, read_cluster
from seuron.cluster.config_models import RESERVED_BYTES
from seuron.cluster.costs.prices import HOURS_A_MONTH, SPOT_SHARE, PriceTable
from seuron.cluster.machine_types import GIB, known_types, machine_of
from seuron.engine.queues import QueueCapacity
from seuron.errors import ParameterErrors

ROOT = Path(__file__).parents[2]


def problems(document: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(ParameterErrors) as caught:
        parse_cluster(document, Path.cwd())
    return caught.value.problems


def test_the_example_is_a_cluster() -> None:
    """The example in the docs must be a file that is accepted, with every queue served."""
    cluster = read_cluster(ROOT / "docs" / "cluster.example.toml")
    assert {group.queue for group in cluster.groups} == {queue.name for queue in cluster.queues}
    assert [offer.gpus for offer in cluster.capacities] == [0, 0, 1]
    assert cluster.budget_dollars == 500


def test_the_example_of_the_page_is_a_cluster() -> None:
    """The file of processes that docs/clusters.md shows is accepted as it stands."""
    page = (ROOT / "docs" / "clusters.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    cluster = parse_cluster(tomllib.loads(example), Path.cwd())
    assert cluster.groups[0].max_size == 8


def test_a_group_has_what_its_machine_has() -> None:
    """Slots share the machine's memory but for what the system needs, and the price is the table's."""
    spot, sure = google_cluster().groups
    assert spot.memory_bytes == (32 * GIB - RESERVED_BYTES) // 8
    assert sure.memory_bytes == (32 * GIB - RESERVED_BYTES) // 4
    assert sure.price == pytest.approx(8 * 0.02181159 + 32 * 0.00292353 + 50 * 0.10 / HOURS_A_MONTH)
    assert spot.spot
    assert spot.price < sure.price


def test_a_queue_offers_what_its_least_group_has() -> None:
    """A task may land in any group of its queue, so the offer is the smallest slot."""
    assert google_cluster().capacities == (QueueCapacity("cpu", (32 * GIB - RESERVED_BYTES) // 8, 0),)


def test_own_prices_come_before_the_table() -> None:
    """A group's own price wins, then the file's table, then the shipped one."""
    document = google_document()
    document["prices"] = {"machines": {"e2-standard-8": {"spot": 0.01}}, "disks": {"pd-balanced": 0.0}}
    document["groups"][1]["price"] = 7.0
    spot, sure = parse_cluster(document, Path.cwd()).groups
    assert (spot.price, sure.price) == (0.01, 7.0)


def test_relative_paths_begin_at_the_file(tmp_path: Path) -> None:
    """A file may be used from any folder: its paths are its neighbours'."""
    (tmp_path / "here.toml").write_text(
        'name = "here"\nprovider = "processes"\n[[queues]]\nname = "cpu"\n'
        '[[groups]]\nname = "all"\nqueue = "cpu"\nslots = 2\nmax_size = 4\n'
    )
    cluster = read_cluster(tmp_path / "here.toml")
    assert cluster.path("machines") == tmp_path / "machines"
    assert cluster.groups[0].price == 0
    assert cluster.groups[0].zone == "local"


def test_all_errors_come_at_once() -> None:
    """A file with a fault in every table must name each of them, with its place."""
    document = google_document()
    document["budgte_dollars"] = 5
    document["google"]["regoin"] = "x"
    document["queues"].append({"name": "lonely"})
    document["groups"][0] |= {"zone": "us-west1-b", "slots": "many"}
    document["groups"][1] |= {"machine_type": "e2-standard-7", "queue": "cpus", "zone": "europe-west4-a"}
    document["groups"].append({**document["groups"][1], "machine_type": "e2-standard-8", "zone": "us-east1-b"})
    document["manager"]["zone"] = "us-west1-b"
    del document["images"]
    found = problems(document)
    for place in (
        "`budgte_dollars` is not known; did you mean `budget_dollars`?",
        "`google.regoin` is not known; did you mean `region`?",
        "`queues[1].name`: got 'lonely': no group serves this queue",
        "`groups[0].slots`",
        "`groups[1].machine_type`: got 'e2-standard-7': this is not known; did you mean e2-standard-",
        "`groups[1].queue`: got 'cpus': [[queues]] has cpu, lonely",
        "`groups[1].zone`: got 'europe-west4-a'",
        "`groups[2].name`: got 'sure': 2 of groups have this name",
        "`manager.zone`: got 'us-west1-b'",
        "`images.container` is missing",
    ):
        assert any(place in problem for problem in found), f"{place} is not in {found}"
    assert len(found) == len(set(found))


Change = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d["groups"][0].update(slot_memory_gib=8), "8 slots of 8 GiB do not fit into e2-standard-8"),
        (lambda d: d["groups"][0].update(slots=500), "leaves under 0.25 GiB"),
        (lambda d: d["groups"][0].update(min_size=11), "`groups[0].min_size`: got 11: more than max_size 10"),
        (lambda d: d["groups"][0].update(gpus=1), "give both gpu_type and gpus"),
        (lambda d: d["groups"][0].update(gpus=1, gpu_type="nvidia-tesla-t4"), "to n1 machines only"),
        (
            lambda d: d["groups"][0].update(machine_type="n1-standard-8", gpus=1, gpu_type="nvidia-l4"),
            "those that can be attached are nvidia-tesla-t4",
        ),
        (
            lambda d: d["groups"][0].update(machine_type="g2-standard-8", gpus=1, gpu_type="nvidia-tesla-t4"),
            "has 1 GPUs built in",
        ),
        (lambda d: d["groups"][0].update(machine_type="g2-standard-8"), "set its gpu = true"),
        (lambda d: d["queues"][0].update(gpu=True), "needs GPUs, e2-standard-8 has none"),
        (lambda d: d["groups"][0].update(machine_type=""), "`groups[0].machine_type` is missing"),
        (
            lambda d: d["groups"][0].update(machine_type="x9-mega-8", cores=8, memory_gib=64),
            "`groups[0].price` is missing",
        ),
        (lambda d: d["groups"][0].update(name="Bad Name"), "`groups[0].name`: got 'Bad Name'"),
        (lambda d: d.pop("manager"), "`manager` is missing"),
        (lambda d: d["manager"].pop("command"), "give either the command"),
        (lambda d: d["google"].update(endpoint="http://example.org"), "only an address of this machine"),
        (lambda d: d.update(provider="amazon"), "`provider`: got 'amazon'"),
        (lambda d: d["prices"].update(machines={"x": {"spto": 1}}), "`prices.machines.x.spto` is not known; did you"),
        (lambda d: d["secrets"].update(borker={}), "`secrets.borker`"),
        (lambda d: d["secrets"].update(jwt={"resource": "jwt"}), "`secrets.jwt.resource`"),
    ],
)
def test_what_does_not_fit_is_told(change: Change, told: str) -> None:
    """Each fault alone gives a message that says what was given and what to do."""
    document = {**google_document(), "prices": {}}
    change(document)
    found = problems(document)
    assert any(told in problem for problem in found), found


def test_an_unknown_type_is_taken_with_cores_memory_and_price() -> None:
    """Machine types that come out tomorrow can be used today."""
    document = google_document()
    document["groups"][0] |= {"machine_type": "x9-mega-8", "cores": 8, "memory_gib": 64, "price": 1.5}
    group = parse_cluster(document, Path.cwd()).groups[0]
    assert group.memory_bytes == (64 * GIB - RESERVED_BYTES) // 8


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["google"].update(password="hunter2"),
        lambda d: d["google"].update(api_key="hunter2"),
        lambda d: d["worker"].update(environment={"BROKER": "redis://:hunter2@manager:6379/0"}),
        lambda d: d["worker"].update(environment={"AIRFLOW__API_AUTH__JWT_SECRET": "hunter2"}),
        lambda d: d["secrets"].update(broker="redis://user:hunter2@manager"),
        lambda d: d["manager"].update(command=["serve", "--key=-----BEGIN PRIVATE KEY-----hunter2"]),
        lambda d: d["groups"][0].update(token="hunter2"),
    ],
)
def test_secrets_are_refused_and_never_repeated(change: Change) -> None:
    """A password in the file is an error, whose message must not spread it further."""
    document = {**google_document(), "worker": {}}
    change(document)
    found = problems(document)
    assert any("secret" in problem for problem in found)
    assert "hunter2" not in "\n".join(found)


@pytest.mark.parametrize("content", ["name = ", "\xff"])
def test_what_is_not_toml_is_told(tmp_path: Path, content: str) -> None:
    """A syntax error names the file and where in it."""
    file = tmp_path / "bad.toml"
    file.write_text(content, encoding="latin-1")
    with pytest.raises(ParameterErrors, match=r"(?s)bad\.toml.*not TOML"):
        read_cluster(file)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """No file is an error of the user's, not of ours."""
    with pytest.raises(ParameterErrors, match="cannot read"):
        read_cluster(tmp_path / "none.toml")


def test_processes_take_no_machines() -> None:
    """What has no meaning on this machine is refused, not ignored."""
    document = {**google_document(), "provider": "processes"}
    assert any("has no meaning with provider = 'processes'" in problem for problem in problems(document))


@given(st.sampled_from(known_types()))
def test_every_known_type_is_a_machine_with_a_higher_price_on_demand(name: str) -> None:
    """Known types have cores and memory, and spot never costs more than on demand."""
    machine = machine_of(name)
    assert machine is not None
    assert machine.type == name
    assert machine.cores > 0
    assert machine.memory_bytes > 0
    sure = PriceTable().instance(machine, False, "", 0, "pd-standard", 10)
    spot = PriceTable().instance(machine, True, "", 0, "pd-standard", 10)
    assert (sure is None) == (spot is None)
    if sure is not None and spot is not None:
        assert 0 < spot < sure


@given(st.integers(1, 60), st.integers(1, 400))
def test_custom_types_say_what_they_have(half_cores: int, gibibytes: int) -> None:
    """A custom type's name gives its cores and its memory in MiB."""
    machine = machine_of(f"n2-custom-{2 * half_cores}-{1024 * gibibytes}")
    assert machine is not None
    assert (machine.cores, machine.memory_bytes) == (2 * half_cores, gibibytes * GIB)


def test_attached_gpus_are_paid() -> None:
    """A GPU that is attached is in the price and in the group, at the spot share where it is spot."""
    document = google_document()
    document["queues"] = [{"name": "gpu", "gpu": True}]
    gpu = {"machine_type": "n1-standard-8", "gpu_type": "nvidia-tesla-t4", "gpus": 2, "queue": "gpu", "slots": 1}
    document["groups"] = [{**group, **gpu} for group in document["groups"]]
    cluster = parse_cluster(document, Path.cwd())
    assert [group.gpus for group in cluster.groups] == [2, 2]
    assert [group.gpus_of_slot for group in cluster.groups] == [2, 2]
    machine = cluster.group_tables[0].machine
    bare = PriceTable().instance(machine, True, "", 0, "pd-balanced", 50)
    assert bare is not None
    assert cluster.groups[0].price == pytest.approx(bare + 2 * 0.35 * SPOT_SHARE)
