"""Runs on a cluster of this machine's processes: it grows from nothing when there is work, and goes back to nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow_runs import SETTINGS
from compose import free_port
from watchdog import run_folder
from webhooks import Hook, listening

from seuron.client import AirflowClient
from seuron.cluster.config import read_cluster
from seuron.cluster.drivers import process_groups
from seuron.cluster.records import Records
from seuron.deployment import Deployment, Home
from seuron.deployment.cluster import records_folder
from seuron.deployment.processes import marked_processes

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server (Debian's redis-server)")

Conf = Callable[..., dict[str, Any]]
Results = Callable[[Path], dict[str, bytes]]
LocalRun = Callable[..., Path]

DAG = "segmentation"
#: A queue whose second group costs ten times as much; a worker idles for some seconds before it is drained.
CLUSTER = """
name = "here"
provider = "processes"
queues = [{ name = "cpu" }]
{budget}

[[groups]]
name = "cheap"
queue = "cpu"
slots = 2
max_size = 1
slot_memory_gib = 1.0
price = 0.1

[[groups]]
name = "dear"
queue = "cpu"
slots = 2
max_size = 1
slot_memory_gib = 1.0
price = 1.0

[policy]
idle_seconds = 10
settle_seconds = 5
ramp_seconds = 2
boot_seconds = 10
paid_seconds = 0
target_seconds = 60
"""


class Cluster:
    """A deployment whose workers are a cluster's, with a step each few seconds."""

    def __init__(self, home: Home, hook: Hook) -> None:
        self.home, self.deployment, self.hook = home, Deployment(home), hook
        self.file = home.folder / "cluster.toml"
        self.records = Records(records_folder(home))

    def write(self, budget: float | None = None, dearer: float = 1.0) -> None:
        text = CLUSTER.replace("{budget}", f"budget_dollars = {budget}" if budget is not None else "")
        self.file.write_text(text.replace("price = 0.1", f"price = {0.1 * dearer}"))

    def instances(self) -> list[str]:
        groups = process_groups(read_cluster(self.file))
        return [instance.name for name in ("cheap", "dear") for instance in groups.instances(name)]

    def looks(self) -> int:
        """How many steps there were by now, at least: as many as four seconds have been since the first second."""
        look = self.records.snapshot()
        return 0 if look is None else int(look.time // 4)

    def told(self, output: Path) -> list[str]:
        """The events that people were told of a run, in their order."""
        return [body["event"] for _, body in self.hook.got if body["output"] == f"file://{output}"]

    def targets(self) -> int:
        groups = process_groups(read_cluster(self.file))
        return sum(groups.target(name) for name in ("cheap", "dear"))


@pytest.fixture(scope="module")
def cluster(environment: dict[str, str]) -> Iterator[Cluster]:
    """A deployment of this module's own."""
    home = Home(Path(tempfile.mkdtemp(prefix="cluster-", dir=run_folder())))
    with pytest.MonkeyPatch.context() as patched, listening() as hook:
        patched.setenv("SEURON_CLUSTER_SECONDS", "4")
        notifications = home.folder / "notifications.toml"
        notifications.write_text(f'[[notify]]\nhow = "webhook"\naddress = "{hook.address}"\n')
        patched.setenv("SEURON_NOTIFICATIONS", str(notifications))
        made = Cluster(home, hook)
        made.write()
        home.settings.write_text(json.dumps(SETTINGS))
        # A port of its own at once: another deployment that starts now has the default one in mind as well.
        home.supervisor_state.write_text(json.dumps({"port": free_port()}))
        made.deployment.start(cluster=made.file, seconds=600)
        yield made
        made.deployment.stop()
    left = marked_processes(home.folder)
    shutil.rmtree(home.folder, ignore_errors=True)
    assert left == []


@pytest.fixture
def client(cluster: Cluster) -> Iterator[AirflowClient]:
    with cluster.deployment.client() as made:
        yield made


def wait_until(condition: Callable[[], Any], seconds: float = 480) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)


def _first_start(client: AirflowClient, run_id: str, dag_id: str = DAG) -> float | None:
    """When the first task of a group's worker began, s since 1970."""
    starts = [
        task.start.timestamp() for task in client.task_instances(dag_id, run_id) if task.map_index >= 0 and task.start
    ]
    return min(starts, default=None)


def test_a_run_grows_its_pool_from_nothing_and_leaves_nothing(
    client: AirflowClient, cluster: Cluster, toy_conf: Conf, toy_run: LocalRun, results: Results, tmp_path: Path
) -> None:
    """No instance before, some during, none after; the bytes are those of a run without Airflow."""
    assert cluster.instances() == []
    submitted = time.time()
    run_id = client.trigger("toy", toy_conf(tmp_path / "run"))
    wait_until(cluster.instances)
    state = client.wait("toy", run_id, seconds=600)
    assert state == "success", client.task_errors("toy", run_id)
    first = _first_start(client, run_id, "toy")
    assert first is not None
    print(f"\nfrom submit to the first task on a cold pool: {first - submitted:.1f} s")
    assert results(tmp_path / "run") == results(toy_run())
    wait_until(lambda: cluster.targets() == 0 and cluster.instances() == [])
    names = {task.task_id: task.state for task in client.task_instances("toy", run_id)}
    for name in ("machines_threshold", "machines_threshold_done"):
        assert names[name] == "success"
    assert client.delete_old_runs("cluster", 3)  # as the step does itself, with more
    assert len(list(client.pages("/dags/cluster/dagRuns", "dag_runs", {"state": "success"}))) <= 5
    ledger = cluster.records.ledger()
    assert ledger.runs[run_id] > 0
    assert ledger.dollars > ledger.runs[run_id]


@pytest.mark.chaos
def test_a_cancelled_run_lets_its_machines_go(
    client: AirflowClient, cluster: Cluster, conf: Conf, tmp_path: Path
) -> None:
    """A run that is cancelled while it works still has its teardown, and its groups end at nothing."""
    run_id = client.trigger(DAG, conf(tmp_path / "run", chunk_size="24,24,24"))
    wait_until(lambda: _first_start(client, run_id))
    client.cancel(DAG, run_id)
    assert client.wait(DAG, run_id, seconds=480) == "failed"
    states = {task.task_id: task.state for task in client.task_instances(DAG, run_id)}
    assert states["machines_watershed_done"] == "success"
    assert states["ended"] == "failed"
    wait_until(lambda: cluster.targets() == 0 and cluster.instances() == [])


@pytest.mark.long
def test_a_budget_that_is_used_up_holds_the_run(
    client: AirflowClient, cluster: Cluster, conf: Conf, tmp_path: Path
) -> None:
    """With next to nothing to spend no instance is made, `status` says so and what to do; a raised budget goes on.

    People are told once when the run begins to wait and once when it goes on, however many steps there are.
    """
    spent = cluster.records.ledger().dollars
    cluster.write(budget=spent + 1e-6)
    run_id = client.trigger(DAG, conf(tmp_path / "run"))
    wait_until(lambda: (look := cluster.records.snapshot()) is not None and look.held == ("cpu",))
    assert cluster.instances() == []
    assert client.run_state(DAG, run_id) == "running"
    # Between the setup, which knows what will wait, and the tasks that do wait, a look sees none.
    wait_until(lambda: any("raise `budget_dollars`" in line for line in status_lines(cluster)))
    wait_until(lambda: cluster.told(tmp_path / "run"))
    cluster.write(budget=spent + 100.0)
    assert client.wait(DAG, run_id, seconds=480) == "success"
    wait_until(lambda: "succeeded" in cluster.told(tmp_path / "run"))
    assert cluster.told(tmp_path / "run") == ["held", "continued", "succeeded"]


@pytest.mark.long
def test_a_run_that_has_spent_its_own_budget_starts_nothing_more(
    client: AirflowClient, cluster: Cluster, conf: Conf, local_run: LocalRun, results: Results, tmp_path: Path
) -> None:
    """What runs ends, what waits is given back though machines still stand, the machines go, and people are told.

    It is enough that more tasks would cost more than the rest, as after a change of prices. Started again with a larger
    budget it goes on, with the bytes of a run that nothing held.
    """
    output, finer = tmp_path / "run", "24,24,24"
    cluster.write()
    held = client.trigger(DAG, conf(output, chunk_size=finer, budget_dollars=0.5))
    wait_until(lambda: _first_start(client, held))
    cluster.write(dearer=1e4)
    wait_until(lambda: client.count_tasks(DAG, held, "up_for_reschedule"))
    wait_until(lambda: not client.count_tasks(DAG, held, "running"))
    done = client.count_tasks(DAG, held, "success")
    wait_until(lambda: cluster.targets() == 0 and cluster.instances() == [])
    assert client.run_state(DAG, held) == "running"
    assert client.count_tasks(DAG, held, "success") == done
    assert cluster.told(output) == ["held"]
    assert any("of its budget of $0.50" in line for line in status_lines(cluster))
    client.cancel(DAG, held)
    assert client.wait(DAG, held, seconds=480) == "failed"

    cluster.write()
    still = client.trigger(DAG, conf(output, chunk_size=finer, budget_dollars=0.5))
    wait_until(lambda: client.count_tasks(DAG, still, "queued"))
    seen = cluster.looks() + 3
    wait_until(lambda: cluster.looks() >= seen)
    assert cluster.targets() == 0, "neither the setup around its stages nor a step asks for machines"
    client.cancel(DAG, still)
    assert client.wait(DAG, still, seconds=480) == "failed"

    again = client.trigger(DAG, conf(output, chunk_size=finer, budget_dollars=50))
    assert client.wait(DAG, again, seconds=600) == "success", client.task_errors(DAG, again)
    assert results(output) == results(local_run(chunk_size=finer))
    assert [event for event in cluster.told(output) if event != "failed"][:3] == ["held", "held", "continued"]


def status_lines(cluster: Cluster) -> list[str]:
    """What `seuron status` prints, as a user would see it."""
    done = subprocess.run(
        [sys.executable, "-m", "seuron.cli", "status"],
        env={**os.environ, "SEURON_HOME": str(cluster.home.folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines()
