"""Runs through a real scheduler, and what must hold when parts of the deployment are killed meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from airflow_runs import Ended

from seuron.box import Box
from seuron.client import AirflowClient
from seuron.deployment import Deployment
from seuron.deployment.processes import marked_processes
from seuron.errors import SeuronError

Conf = Callable[..., dict[str, Any]]
Command = Callable[..., subprocess.CompletedProcess[str]]
Results = Callable[[Path], dict[str, bytes]]
LocalRun = Callable[..., Path]

DAG = "segmentation"


def _records(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (output / "tasks").glob("*.json")}


def _wait_for_records(output: Path, number: int, seconds: float = 480) -> dict[str, bytes]:
    """Return once so many tasks are finished."""
    deadline = time.monotonic() + seconds
    while len(found := _records(output)) < number:
        assert time.monotonic() < deadline, f"only {len(found)} of {number} tasks after {seconds} s"
        time.sleep(0.05)
    return found


def _planned(output: Path) -> int:
    from seuron.engine.run import Run

    return len(Run.open(str(output)).plan.tasks)


def _expect_success(client: AirflowClient, run_id: str, seconds: float = 600) -> None:
    state = client.wait(DAG, run_id, seconds=seconds)
    assert state == "success", client.task_errors(DAG, run_id)


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # a task may end by itself just now
            process.kill()
    psutil.wait_procs(processes, timeout=10)


def test_two_runs_at_once_have_the_local_runners_bytes(
    finished_runs: tuple[Ended, Ended], local_run: LocalRun, results: Results
) -> None:
    """Two runs with different parameters at the same time each give what the local runner gives."""
    for run in finished_runs:
        assert results(run.output) == results(local_run(**run.changes))
    assert results(finished_runs[0].output) != results(finished_runs[1].output)


def test_labels_progress_and_overhead_of_a_run(client: AirflowClient, finished: Ended) -> None:
    """A run's tasks carry the plan's labels, its progress is complete, and its overhead is a share."""
    from seuron.engine.run import Run

    run = Run.open(str(finished.output))
    labels = {task.label for task in client.task_instances(DAG, finished.run_id) if task.map_index >= 0}
    assert labels == {task.label for task in run.plan.tasks}
    progress = client.progress(DAG, finished.run_id)
    assert progress.finished
    assert sum(tier.done for tier in progress.tiers if ".tier_" in tier.task_id) == len(run.plan.tasks)
    order = [tier.stage for tier in progress.tiers]
    assert order.index("watershed") < order.index("agglomeration") < order.index("report")
    work = {run.plan.task(record.task_id).label: record.seconds for record in run.records()}
    overhead = client.overhead(DAG, finished.run_id, work)
    assert overhead.tasks == len(work)
    assert 0 < overhead.critical_seconds <= overhead.work_seconds < overhead.wall_seconds
    assert 0 < overhead.share(slots=2) < 1


def test_a_killed_scheduler_and_supervisor_change_nothing(
    deployment: Deployment, toy_conf: Conf, toy_run: LocalRun, results: Results, tmp_path: Path
) -> None:
    """The scheduler and its tasks die in the first half: the supervisor starts it again.

    Then the supervisor alone is killed: the next start clears its orphans away, the database and tasks included, and
    the run goes on by itself. What was finished is not computed again, and the bytes are the same.
    """
    output = tmp_path / "run"
    with deployment.client() as client:
        run_id = client.trigger("toy", toy_conf(output, cell="32,16,32"))
    _wait_for_records(output, 2)
    before = marked_processes(deployment.home.folder, "scheduler")
    assert before
    _kill(before)
    finished = _records(output)
    _wait_for_records(output, len(finished) + 2)
    supervisor = deployment.status().supervisor
    assert supervisor is not None
    orphans = {process.pid for process in marked_processes(deployment.home.folder)}
    os.kill(supervisor, signal.SIGKILL)
    finished |= _records(output)
    assert len(finished) < _planned(output)
    deployment.start(seconds=600)
    assert deployment.status().healthy
    assert not {process.pid for process in marked_processes(deployment.home.folder)} & orphans
    with deployment.client() as client:
        assert client.wait("toy", run_id, seconds=600) == "success", client.task_errors("toy", run_id)
    assert results(output) == results(toy_run(cell="32,16,32"))
    assert finished.items() <= _records(output).items()


@pytest.mark.long
def test_a_deployment_killed_whole_resumes(
    deployment: Deployment, conf: Conf, local_run: LocalRun, results: Results, tmp_path: Path
) -> None:
    """SIGKILL for everything, database included; after a start the run goes on by itself.

    What was finished is not computed again: its records are the same to the last byte.
    """
    output = tmp_path / "run"
    with deployment.client() as client:
        run_id = client.trigger(DAG, conf(output))
    _wait_for_records(output, 3)
    supervisor = deployment.status().supervisor
    assert supervisor is not None
    tree = [psutil.Process(supervisor), *psutil.Process(supervisor).children(recursive=True)]
    _kill(tree)
    assert not deployment.status().running
    finished = _records(output)
    assert len(finished) < _planned(output)
    deployment.start(seconds=600)
    with deployment.client() as client:
        _expect_success(client, run_id)
    assert results(output) == results(local_run())
    assert finished.items() <= _records(output).items()


def test_a_finished_run_given_again_computes_nothing(
    finished_runs: tuple[Ended, Ended], command: Command, conf: Conf
) -> None:
    """The same command twice: the second sees that all is done, and succeeds."""
    run = finished_runs[1]
    settings = [f"{name}={value}" for name, value in conf(run.output, **run.changes).items()]
    assert "report.html" in run.stdout
    assert "everything was finished already" not in run.stdout
    before = _records(run.output)
    second = command("run", "segmentation", *settings, seconds=600)
    assert second.returncode == 0, second.stderr
    assert _records(run.output) == before
    assert "report.html" in second.stdout
    assert "everything was finished already" in second.stdout


def test_the_command_names_every_bad_parameter_at_once(command: Command, conf: Conf, tmp_path: Path) -> None:
    """Wrong parameters never reach Airflow: exit code 2, all problems, at once."""
    settings = conf(tmp_path / "run", watershed_low=0.9, agglomeration_treshold=0.2, chunk_size="0,1,2")
    done = command("run", "segmentation", *(f"{name}={value}" for name, value in settings.items()), seconds=60)
    assert done.returncode == 2
    for word in ("watershed_low", "agglomeration_threshold", "chunk_size", "3 problems"):
        assert word in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_bad_run_from_the_form_fails_at_once(client: AirflowClient, refused: Ended) -> None:
    """Parameters that only the checks can refuse fail `prepare` on its first try, with one clear message."""
    failed = client.task_instances(DAG, refused.run_id, states=["failed"])
    assert [(task.task_id, task.try_number) for task in failed] == [("prepare", 1)]
    (error,) = client.task_errors(DAG, refused.run_id)
    assert "`affinities`" in error.message
    assert "nothing" in error.message
    assert refused.run_id.split("+")[0].replace(":", "%3A") in error.url


def test_the_note_names_every_wrong_parameter(client: AirflowClient, conf: Conf, tmp_path: Path) -> None:
    """Over REST one of seven problems was named, and what Airflow cannot deliver was tried for minutes."""
    with pytest.raises(SeuronError, match="18446744073709551616"):
        client.trigger(DAG, conf(tmp_path / "run", mip=2**64))
    file = tmp_path / "file.txt"
    file.write_text("no folder\n")
    wrong = {
        **{"mip": True, "task_memory": "1e300", "chunk_size": "64,64", "missing_blocks": "maybe"},
        **{"chunksize": 5, "watershed_high": 1.5, "constraints": [{"rule": ["size"]}]},
    }
    run_id = client.trigger(DAG, conf(file / "run", **wrong))
    assert client.wait(DAG, run_id, seconds=240) == "failed"
    failed = client.task_instances(DAG, run_id, states=["failed"])
    assert [(task.task_id, task.try_number) for task in failed] == [("prepare", 1)]
    (error,) = client.task_errors(DAG, run_id)
    note = client.dag_run(DAG, run_id).note
    for name in (*wrong, "output"):
        assert f"`{name}`" in error.message, error.message
        assert f"`{name}`" in note, note


@pytest.fixture
def poisoned(tmp_path: Path) -> str:
    """An affinity map with one NaN in it."""
    from seuron.volumes import create_volume

    path = str(tmp_path / "poisoned")
    volume = create_volume(path, Box((0, 0, 0), (64, 32, 32)), (10.0, 10.0, 10.0), dtype="float32", channels=3)
    voxels = np.full((64, 32, 32, 3), 0.5, np.float32, order="F")
    voxels[40, 5, 6, 1] = np.nan
    volume.write(volume.box, voxels)
    return path


def test_bad_voxels_fail_their_task_once(
    deployment: Deployment, command: Command, conf: Conf, poisoned: str, tmp_path: Path
) -> None:
    """A NaN fails its task without another try; the command says which task, why, and where the log is."""
    settings = conf(tmp_path / "run", affinities=poisoned)
    done = command("run", "segmentation", *(f"{name}={value}" for name, value in settings.items()))
    assert done.returncode == 1
    assert "watershed 0 leaf (1, 0, 0)" in done.stderr
    assert "DataError" in done.stderr
    assert "40" in done.stderr
    assert f"{deployment.url}/dags/segmentation/runs/" in done.stderr
