"""A dataset under a real scheduler: what its DAG computes, publishes, skips and rolls back."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_examples import FILE, SECTIONS, SHAPE, repair, write_sections
from runs_on_disk import bytes_of, smooth_affinities

from seuron.client import AirflowClient
from seuron.datasets.files import Dataset, datasets_folder, read_dataset
from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.engine.setup import parse_run

Command = Callable[..., subprocess.CompletedProcess[str]]
DAG = "dataset_tissue"
#: A busy machine takes minutes for what an idle one does in seconds.
SECONDS = 540.0


@pytest.fixture(scope="module")
def voxels() -> np.ndarray[Any, Any]:
    """The affinities of all sections, those that come later included."""
    return smooth_affinities(SHAPE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the dataset's input and its versions are."""
    return tmp_path_factory.mktemp("dataset")


@pytest.fixture(scope="module")
def dataset(
    environment: dict[str, str], folder: Path, voxels: np.ndarray[Any, Any], command: Command
) -> Iterator[Dataset]:
    """Two datasets of the deployment: one of a volume with its first sections, and one that comes after it."""
    write_sections(folder / "input", voxels, 0, SECTIONS)
    assert datasets_folder().is_relative_to(environment["SEURON_HOME"])
    datasets_folder().mkdir(exist_ok=True)
    places = {'"input"': json.dumps(str(folder / "input")), '"published"': json.dumps(str(folder / "published"))}
    text = FILE.replace("chunk_size = [16, 16, 16]", "chunk_size = [32, 32, 16]")
    for old, new in places.items():
        text = text.replace(old, new)
    file = datasets_folder() / "tissue.toml"
    file.write_text(text)
    later = datasets_folder() / "later.toml"
    text = text.replace('"tissue"', '"later"').replace("/published", "/published_later")
    text = text.replace("chunk_size = [32, 32, 16]", "chunk_size = [32, 32, 48]")  # one leaf: it only has to begin
    later.write_text(f'{text}\n[schedule]\nafter = "tissue"\n')
    yield read_dataset(file)
    file.unlink()
    later.unlink()


def run_now(command: Command, name: str = "tissue") -> dict[str, Any]:
    """`seuron datasets run --wait`: the versions that there are then."""
    done = command("datasets", "run", name, "--wait", "--json", seconds=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def states(client: AirflowClient, dag_id: str = DAG) -> dict[str, str | None]:
    """The states of the nodes of a DAG's newest run."""
    run = client.dag_runs(dag_id, 1)[0]
    return {task.task_id: task.state for task in client.task_instances(dag_id, run.run_id)}


def read(dataset: Dataset) -> dict[str, str]:
    """What readers of the link see."""
    return bytes_of(Path(dataset.published.path.removeprefix("file://"), "current"))


def full_run(dataset: Dataset, output: Path) -> dict[str, str]:
    """The bytes of the layers of a run from nothing."""
    run_local(parse_run(dataset.pipeline, {**dataset.values(str(output)), "store": None}))
    return bytes_of(output)


def test_a_dataset_from_its_first_version_to_a_rollback(
    client: AirflowClient,
    dataset: Dataset,
    command: Command,
    folder: Path,
    voxels: np.ndarray[Any, Any],
    tmp_path: Path,
) -> None:
    """New sections make a second version, of which only what changed is computed; without a change all is skipped.

    What is published is a full run's bytes, and another dataset that comes after it is looked at as well.
    """
    assert [version["number"] for version in run_now(command)["versions"]] == [1]
    first = read(dataset)
    assert [version["number"] for version in run_now(command)["versions"]] == [1]
    assert states(client) == {
        "acquire": "success",
        **dict.fromkeys(("detect", "draft", "run", "wait", "publish", "prune", "notify"), "skipped"),
    }

    write_sections(folder / "input", voxels, SECTIONS, SHAPE[2])
    assert [version["number"] for version in run_now(command)["versions"]] == [1, 2]
    assert set(states(client).values()) == {"success"}
    old = {record.task_id: record for record in Run.open(dataset.published.folder(1)).records()}
    records = Run.open(dataset.published.folder(2)).records()
    assert any(old.get(record.task_id) == record for record in records), "nothing was kept"
    assert read(dataset) == full_run(dataset, tmp_path / "whole") != first

    done = command("datasets", "rollback", "tissue", "--json")
    assert json.loads(done.stdout)["version"] == 1
    assert read(dataset) == first
    run_now(command)
    assert read(dataset) == first

    deadline = time.monotonic() + SECONDS
    while not (followed := client.dag_runs("dataset_later", 5)):
        assert time.monotonic() < deadline, "the dataset that comes after this one was not looked at"
        time.sleep(1)
    assert client.wait("dataset_later", followed[-1].run_id, seconds=SECONDS) == "success"


@pytest.mark.long
def test_a_failed_run_publishes_nothing_and_the_next_one_goes_on(
    client: AirflowClient, dataset: Dataset, command: Command, folder: Path
) -> None:
    """Readers keep their version when a run is ended half-way; the next start goes on in the same folder."""
    before = read(dataset)
    number = dataset.published.next_number()
    repair(folder / "input", 77)
    run_id = client.trigger(DAG, {})
    records = Path(dataset.published.folder(number).removeprefix("file://")) / "tasks"
    deadline = time.monotonic() + SECONDS
    while not (active := client.active_run("segmentation", dataset.published.folder(number))):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    while not client.count_tasks("segmentation", active, "success"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    client.cancel("segmentation", active)
    assert client.wait(DAG, run_id, seconds=SECONDS) == "failed"
    assert states(client)["wait"] == "failed"
    assert states(client)["notify"] == "success"
    assert read(dataset) == before
    assert records.is_dir()
    assert run_now(command)["versions"][-1]["number"] == number
    assert read(dataset) != before


@pytest.mark.long
def test_a_backfill_computes_once_and_never_overlaps(
    client: AirflowClient, dataset: Dataset, folder: Path, environment: dict[str, str]
) -> None:
    """Runs for several missed times at once take turns: the first makes a version, the others find nothing to do."""
    file = datasets_folder() / "tissue.toml"
    text = file.read_text()
    file.write_text(f'{text}\n[schedule]\ncron = "0 3 * * *"\n')
    number = dataset.published.next_number()
    repair(folder / "input", 99)
    client.parse_again("datasets")
    deadline = time.monotonic() + SECONDS
    while DAG not in client.parsed_dags() or client.dag_times(DAG).next_run is None:
        assert time.monotonic() < deadline
        time.sleep(1)
    scheduled = {run.run_id for run in client.dag_runs(DAG)}
    body = {
        "dag_id": DAG,
        "from_date": "2026-03-01T00:00:00Z",
        "to_date": "2026-03-03T23:00:00Z",
        "max_active_runs": 3,
    }
    client.checked(client.send("POST", "/backfills", json=body))
    while True:
        runs = [run for run in client.dag_runs(DAG) if run.run_id not in scheduled]
        if len(runs) >= 3 and all(run.finished for run in runs):
            break
        assert time.monotonic() < deadline + SECONDS, [(run.run_id, run.state) for run in runs]
        time.sleep(1)
    file.write_text(text)
    assert {run.state for run in runs} == {"success"}
    outcomes = [
        {task.task_id: task.state for task in client.task_instances(DAG, run.run_id)}["publish"] for run in runs
    ]
    assert sorted(map(str, outcomes)) == ["skipped"] * (len(runs) - 1) + ["success"]
    newest = dataset.published.newest()
    assert newest is not None
    assert newest.number == number
