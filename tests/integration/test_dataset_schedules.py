"""Datasets that are looked at by themselves under a real scheduler: asset events, a watched input, another's versions.

One deployment for all of them, small volumes, and each waits only for what must come by itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from dataset_examples import FILE, SECTIONS, SHAPE, repair, write_sections
from runs_on_disk import bytes_of, smooth_affinities

from seuron.client import AirflowClient, DagRun
from seuron.datasets.files import Dataset, datasets_folder, read_dataset
from seuron.deployment import Deployment
from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.engine.setup import parse_run

pytestmark = pytest.mark.long

ASSET = "tissue-uploaded"
#: A busy machine takes minutes for what an idle one does in seconds.
SECONDS = 540.0
REST = ("detect", "draft", "run", "wait", "publish", "prune", "notify")


@dataclass(frozen=True)
class Registered:
    """A dataset of the deployment, and the folder of its input."""

    dataset: Dataset
    input: Path

    @property
    def dag(self) -> str:
        return f"dataset_{self.dataset.name}"

    def folder(self, number: int) -> Path:
        return Path(self.dataset.published.folder(number).removeprefix("file://"))

    def numbers(self) -> list[int]:
        return [version.number for version in self.dataset.published.versions()]

    def computed(self, number: int) -> tuple[int, int]:
        """How many tasks of a version did anything at all, and how many there are."""
        old = {record.task_id: record for record in Run.open(self.dataset.published.folder(number - 1)).records()}
        records = Run.open(self.dataset.published.folder(number)).records()
        return sum(old.get(r.task_id) != r and r.outcome == "computed" for r in records), len(records)

    def whole(self, output: Path) -> dict[str, str]:
        """The bytes of the layers of a run from nothing, of the input as it is now."""
        run_local(parse_run(self.dataset.pipeline, {**self.dataset.values(str(output)), "store": None}))
        return bytes_of(output)


Register = Callable[..., Registered]


@pytest.fixture(scope="module")
def voxels() -> np.ndarray[Any, Any]:
    """The affinities of all sections, those that come later included."""
    return smooth_affinities(SHAPE)


@pytest.fixture(scope="module")
def register(
    environment: dict[str, str], voxels: np.ndarray[Any, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Register]:
    """Puts the file of a dataset with a schedule into the deployment's folder; its input may be another's."""
    assert datasets_folder().is_relative_to(environment["SEURON_HOME"])
    datasets_folder().mkdir(exist_ok=True)
    files: list[Path] = []

    def make(name: str, schedule: str, source: Path | None = None) -> Registered:
        folder = tmp_path_factory.mktemp(name)
        if source is None:
            source = folder / "input"
            write_sections(source, voxels, 0, SECTIONS)
        text = FILE.replace("chunk_size = [16, 16, 16]", "chunk_size = [32, 32, 16]").replace("keep = 1", "keep = 9")
        places = {"tissue": name, "input": str(source), "published": str(folder / "published")}
        for old, new in places.items():
            text = text.replace(f'"{old}"', json.dumps(new))
        file = datasets_folder() / f"{name}.toml"
        file.write_text(f"{text}\n[schedule]\n{schedule}\n")
        files.append(file)
        return Registered(read_dataset(file), source)

    yield make
    for file in files:
        file.unlink()


@pytest.fixture(scope="module")
def watched(register: Register) -> Registered:
    """A dataset whose input is looked at each minute: its first version is made while other tests run."""
    return register("watched", "watch_minutes = 1")


def wait_until(true: Callable[[], Any], what: str, seconds: float = SECONDS) -> Any:
    """Poll until something is there, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"{what}: not after {seconds:g} s"
        time.sleep(0.5)
    return found


def wait_for_dags(client: AirflowClient, *registered: Registered) -> None:
    """Return once Airflow has parsed the files."""
    client.parse_again("datasets")
    wanted = {one.dag for one in registered}
    wait_until(lambda: wanted <= client.parsed_dags().keys(), f"the DAGs {wanted}")


def send_event(client: AirflowClient) -> None:
    """What a program that has uploaded does (docs/datasets.md)."""
    found = client.send("GET", "/assets", params={"name_pattern": ASSET}).json()["assets"]
    (number,) = [asset["id"] for asset in found if asset["name"] == ASSET]
    client.checked(client.send("POST", "/assets/events", json={"asset_id": number, "extra": {"sections": 16}}))


def next_run(client: AirflowClient, registered: Registered, known: set[str]) -> DagRun:
    """The run that begins by itself, when it has ended; `known` are those that there were."""

    def ended() -> DagRun | None:
        return next((run for run in client.dag_runs(registered.dag) if run.run_id not in known and run.finished), None)

    found: DagRun = wait_until(ended, f"a run of {registered.dag}")
    known.add(found.run_id)
    assert found.state == "success", client.task_errors(registered.dag, found.run_id)
    return found


def outcomes(client: AirflowClient, registered: Registered, run: DagRun) -> dict[str, str | None]:
    return {task.task_id: task.state for task in client.task_instances(registered.dag, run.run_id)}


def test_an_asset_event_makes_a_version_and_that_makes_another_datasets(
    client: AirflowClient, register: Register, watched: Registered, voxels: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    """An event of the asset starts a look: what has changed is computed and published, and what comes after follows.

    An event without a change publishes nothing, and then the other dataset is not looked at either.
    """
    told = register("told", f'asset = "{ASSET}"')
    later = register("later", 'after = "told"', told.input)
    wait_for_dags(client, told, later, watched)
    seen, followed = set[str](), set[str]()
    assert client.dag_runs(told.dag) == []

    send_event(client)
    assert set(outcomes(client, told, next_run(client, told, seen)).values()) == {"success"}
    assert told.numbers() == [1]
    assert set(outcomes(client, later, next_run(client, later, followed)).values()) == {"success"}
    assert later.numbers() == [1]

    send_event(client)
    skipped = outcomes(client, told, next_run(client, told, seen))
    assert skipped == {"acquire": "success", **dict.fromkeys(REST, "skipped")}

    write_sections(told.input, voxels, SECTIONS, SHAPE[2])
    send_event(client)
    next_run(client, told, seen)
    next_run(client, later, followed)
    whole = told.whole(tmp_path / "whole")
    for one in (told, later):
        assert one.numbers() == [1, 2]
        assert bytes_of(one.folder(2)) == whole
        computed, tasks = one.computed(2)
        assert 0 < computed < tasks
    assert [len(client.dag_runs(one.dag)) for one in (told, later)] == [3, 2]


def test_a_watched_input_makes_a_version_when_it_rests(
    client: AirflowClient, watched: Registered, voxels: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    """Nobody starts anything: new sections and a replaced region are found, and published by the second look at them.

    What two looks find changed differently is left alone, and without a change all is skipped.
    """
    wait_for_dags(client, watched)
    wait_until(lambda: watched.numbers() == [1], "the first version")
    seen = {run.run_id for run in client.dag_runs(watched.dag)}
    # The newest of these made the version, or came after it.
    wait_until(lambda: all(run.finished for run in client.dag_runs(watched.dag)), "the end of the looks")
    seen |= {run.run_id for run in client.dag_runs(watched.dag)}
    assert outcomes(client, watched, next_run(client, watched, seen))["detect"] == "skipped"

    write_sections(watched.input, voxels, SECTIONS, SHAPE[2])
    first = outcomes(client, watched, next_run(client, watched, seen))
    assert first["publish"] == "skipped", "it may still be being written"
    repair(watched.input, 60)
    assert outcomes(client, watched, next_run(client, watched, seen))["publish"] == "skipped"
    assert set(outcomes(client, watched, next_run(client, watched, seen)).values()) == {"success"}
    assert watched.numbers() == [1, 2]
    assert bytes_of(watched.folder(2)) == watched.whole(tmp_path / "whole")
    computed, tasks = watched.computed(2)
    assert 0 < computed < tasks


def test_a_dataset_goes_on_when_everything_is_killed(
    deployment: Deployment, register: Register, tmp_path: Path
) -> None:
    """SIGKILL for all of Airflow while a version is made: after a start the dataset's run goes on and publishes once.

    What was finished is not done again, and readers see no version before it is whole.
    """
    killed = register("killed", "")
    with deployment.client() as client:
        wait_for_dags(client, killed)
        run_id = client.trigger(killed.dag, {})
    records = killed.folder(1) / "tasks"
    wait_until(lambda: len(list(records.glob("*.json"))) >= 3, "tasks of the version")
    supervisor = deployment.status().supervisor
    assert supervisor is not None
    tree = [psutil.Process(supervisor), *psutil.Process(supervisor).children(recursive=True)]
    for process in tree:
        with suppress(psutil.NoSuchProcess):  # a task may end by itself just now
            process.kill()
    psutil.wait_procs(tree, timeout=10)
    finished = {path.name: path.read_bytes() for path in records.glob("*.json")}
    assert killed.numbers() == []

    deployment.start()
    with deployment.client() as client:
        state = client.wait(killed.dag, run_id, seconds=SECONDS)
        assert state == "success", client.task_errors(killed.dag, run_id)
        published = [task for task in client.task_instances(killed.dag, run_id) if task.task_id == "publish"]
        made = [run for run in client.dag_runs("segmentation") if run.output == killed.dataset.published.folder(1)]
        events = client.send("GET", "/assets/events", params={"source_dag_id": killed.dag}).json()["total_entries"]
    assert [task.state for task in published] == ["success"]
    assert (len(made), events, killed.numbers()) == (1, 1, [1])
    assert len(finished) < len(list(records.glob("*.json")))
    assert finished.items() <= {path.name: path.read_bytes() for path in records.glob("*.json")}.items()
    assert bytes_of(killed.folder(1)) == killed.whole(tmp_path / "whole")
