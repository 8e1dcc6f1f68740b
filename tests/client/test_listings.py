"""Listings of runs do not depend on any one of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow_stand_in import AirflowStandIn

import seuron
from seuron.airflow_rest.login import BearerToken
from seuron.client import DeploymentClient
from seuron.cluster.costs.run_costs import ActiveRun, runs_over_budget
from seuron.cluster.records import ClusterEvent, Records
from seuron.commands import Session, execute
from seuron.engine.states import RunState
from seuron.storage import Storage
from seuron.web.viewer.registry import RunView, ViewRegistry


class Here(DeploymentClient):
    """A deployment of this machine, whose folders are this machine's."""

    is_local = True


@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 200, b"[1]", b'{"layout": 3, "params": 7}'])
def test_a_damaged_run_is_a_row_that_says_so(content: bytes, tmp_path: Path) -> None:
    """One damaged run.json, or an output that is a file, ended `seuron runs` in a traceback."""
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_bytes(content)
    Storage(tmp_path / "costs").put("costs.json", b'{"spans": 1')
    with AirflowStandIn() as airflow:
        for name in ("good", "file", "damaged", "costs"):
            airflow.begin({"output": str(tmp_path / name)})
        airflow.begin({"output": "foo://nowhere/run"})
        deployment = Here(airflow.url, BearerToken("token"))
        rows = {seen.name: seen for seen in deployment.statuses()}
        answer = execute(Session(deployment, who="ada"), ("runs",))
        deployment.close()
    assert {name: seen.state for name, seen in rows.items()} == dict.fromkeys(
        ("good", "file", "damaged", "costs", "run"), RunState.RUNNING
    )
    assert rows["good"].problem == ""
    assert str(tmp_path / "file") in rows["file"].problem
    assert "a file lies where a folder has to be" in rows["file"].problem
    assert str(tmp_path / "damaged" / "run.json") in rows["damaged"].problem
    assert str(tmp_path / "costs" / "costs.json") in rows["costs"].problem
    assert "foo://" in rows["run"].problem
    assert "is damaged" in answer.text


def test_other_listings_pass_over_what_is_damaged(tmp_path: Path) -> None:
    """One cut-off line of events, view or cost file ended `status`, the viewer and the cluster's step."""
    records = Records(tmp_path / "cluster")
    records.add(ClusterEvent(1.0, ("first",)))
    with (tmp_path / "cluster" / "events.jsonl").open("ab") as file:
        file.write(b'{"time": "\xff"}\n{"time": 2')
    records.add(ClusterEvent(3.0, ("third",)))
    assert [event.time for event in records.events()] == [1.0, 3.0]
    views = ViewRegistry(tmp_path / "viewer")
    key = views.add(RunView("/data/run"))
    assert views.get(key) == RunView("/data/run")
    Storage(tmp_path / "viewer").put(f"views/{key}.json", b"{")
    assert views.get(key) is None
    Storage(tmp_path / "run").put("costs.json", b"\0\0")
    damaged = ActiveRun("one", str(tmp_path / "run"), 0.0, budget=5.0)
    other = ActiveRun("two", str(tmp_path / "none"), 0.0, budget=5.0)
    assert runs_over_budget([damaged, other]) == {"one"}, "what it has cost is not known: it is held"


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("second", 'publish = "a\\u0000b"'),
        ("second", 'publish = "http://host/x"'),
        ("second", 'image = "a\\nb"'),
        ("second", f"keep = {'[' * 3000}{']' * 3000}"),
        ("second", "[schedule]\nwatch_minutes = 99999999999999999"),
        ("second", '[schedule]\nasset = "  "'),
        ("second", '[schedule]\nasset = "self"'),
        ("second", f'[schedule]\nasset = "{"x" * 3000}"'),
        ("My Data", ""),
        ("n" * 240, ""),
    ],
    ids=[
        "nul",
        "http",
        "line-end",
        "nested",
        "watch",
        "blank-asset",
        "reserved-asset",
        "long-asset",
        "name",
        "long-name",
    ],
)
@pytest.mark.filterwarnings("ignore:The .airflow.utils")  # of a provider's own imports
def test_a_datasets_file_that_is_wrong_hides_no_other(
    name: str, changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One such file ended the list of all, or left Airflow without the DAG of any."""
    monkeypatch.setenv("SEURON_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SEURON_DATASETS", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    monkeypatch.delenv("SEURON_URL", raising=False)
    from seuron.orchestration.datasets import dataset_dags

    for file, more in {"first": "", name: changed}.items():
        lines = [f'name = "{file}"', 'affinities = "in"', "resolution = [8, 8, 40]", f'publish = "{file[:9]}"']
        kept = [line for line in lines if line.split()[0] != more.partition(" ")[0]]
        (tmp_path / f"{file}.toml").write_text("\n".join([*kept, more]) + "\n")
    listed = execute(Session(seuron.connect(), who="ada"), ("datasets", "list"))
    assert [row["name"] for row in listed.data["datasets"]] == ["first"]
    assert list(listed.data["wrong"]) == [name]
    assert f"{name}.toml" in listed.text
    assert set(dataset_dags()) - {f"dataset_{name}"} == {"dataset_first"}


def test_a_dataset_with_a_damaged_version_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One damaged file of a dataset ended the list of all; a version that cannot be read must keep its number."""
    from seuron.datasets.versions import PublishedVersions

    monkeypatch.setenv("SEURON_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SEURON_DATASETS", str(tmp_path / "files"))
    monkeypatch.delenv("SEURON_URL", raising=False)
    (tmp_path / "files").mkdir()
    for name in ("first", "second"):
        text = f'name = "{name}"\naffinities = "in"\nresolution = [8, 8, 40]\npublish = "{tmp_path / name}"\n'
        (tmp_path / "files" / f"{name}.toml").write_text(text)
        published = PublishedVersions(str(tmp_path / name))
        for number in (1, 2):
            Storage(published.folder(number)).put("run.json", b"{}")
            published.publish(number, "key", ("first",))
    published = PublishedVersions(str(tmp_path / "second"))
    published.storage.put("published/0002.json", b"{")
    assert published.next_number() == 3
    published.recover()
    assert Storage(published.folder(2)).get("run.json") is not None, "a version was taken for a leftover"
    assert "0002.json is damaged" in published.versions()[1].why[0]
    published.storage.put("published/notes.txt", b"not ours")
    assert [version.number for version in published.versions()] == [1, 2]
    published.storage.put("current.json", b"\0")
    listed = execute(Session(seuron.connect(), who="ada"), ("datasets", "list"))
    assert listed.data["wrong"] == {}
    assert [row["version"] for row in listed.data["datasets"]] == [2, None]
    assert "current.json is damaged" in listed.text
