"""Runs on Celery workers: tasks go where the plan sends them, and nothing is lost when parts of it are killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from airflow_runs import SETTINGS
from compose import free_port
from watchdog import run_folder

from seuron.client import AirflowClient
from seuron.cluster.workers import BrokerWorkers
from seuron.deployment import Deployment, Home
from seuron.deployment.environment import ADDRESS
from seuron.deployment.processes import marked_processes
from seuron.engine.queues import MANAGER, QueueCapacity, assign, needs
from seuron.errors import ComputeError

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server (Debian's redis-server)")

Conf = Callable[..., dict[str, Any]]
Results = Callable[[Path], dict[str, bytes]]
LocalRun = Callable[..., Path]

DAG = "segmentation"
GIB = 2**30
#: GiB a slot: between what the small volume's merges need (0.375) and what its leaves need (0.376); ample.
THIN, WIDE = 0.3755, 2.0
#: After so long a task that waits is to be sent again, s; Airflow's own tokens of waiting tasks last as long,
#: and ten seconds of leeway.
QUEUED_TIMEOUT, LEEWAY = 12, 10


class Cluster:
    """A deployment with Celery, and workers that tests start and end."""

    def __init__(self, home: Home, environment: dict[str, str]) -> None:
        self.home, self.deployment = home, Deployment(home)
        self.environment = {**environment, "SEURON_HOME": str(home.folder)}
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        #: The port that the state folder named before the start.
        self.port_before = 0

    @property
    def supervisor(self) -> int:
        found = self.deployment.status().supervisor
        assert found is not None
        return found

    @property
    def broker(self) -> str:
        return self.home.broker_url.read_text()

    def start(self, name: str, queues: str, memory: float, *options: str) -> subprocess.Popen[bytes]:
        """Start a worker as a user would; it is ready when it takes tasks."""
        if name in self.workers:
            self.workers[name].wait(30)
        command = [sys.executable, "-m", "seuron.cli", "worker", "--queue", queues, "--slots", "2", "--name", name]
        with (self.home.logs / f"{name}.log").open("ab") as log:
            self.workers[name] = subprocess.Popen(
                [*command, "--memory", str(memory), *options], env=self.environment, stdout=log, stderr=log
            )
        return self.workers[name]

    def have(self, name: str, memory: float) -> None:
        """Have a worker for the queue of that name that takes tasks."""
        if name not in self.workers or self.workers[name].poll() is not None:
            self.start(name, name, memory)
        wait_until(lambda: name in self.accepting())

    def accepting(self) -> set[str]:
        return {report.instance for report in BrokerWorkers(self.broker).reports() if report.accepting}

    def kill(self, service: str) -> None:
        """SIGKILL for all processes of a service."""
        doomed = marked_processes(self.home.folder, service)
        assert doomed, service
        for process in doomed:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(doomed, timeout=10)

    def end(self) -> bool:
        """Stop it, once and for all: whether there was anything to stop, and nothing is left."""
        stopped = self.deployment.stop()
        for worker in self.workers.values():
            with suppress(subprocess.TimeoutExpired):
                worker.wait(10)
            worker.kill()
            worker.wait()
        return stopped and not self.deployment.stop()


def wait_until(condition: Callable[[], Any], seconds: float = 480) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def cluster(environment: dict[str, str]) -> Iterator[Cluster]:
    """A deployment of this module's own, with a worker for tasks that need little; nothing of it is left afterwards.

    It is started in the state folder of one that was killed long ago, and its port is taken by another program.
    """
    home = Home(Path(tempfile.mkdtemp(prefix="celery-", dir=run_folder())))
    # Tasks that were taken by a worker that dies come back soon, and dead ones are noticed soon. A task that waits
    # is due to be sent again soon, and that is looked after late: what it was sent with then is all that it has.
    faster = {
        **SETTINGS,
        "celery_broker_transport_options.visibility_timeout": "20",
        "scheduler.task_instance_heartbeat_timeout": "30",
        "scheduler.task_queued_timeout": str(QUEUED_TIMEOUT),
        "scheduler.task_queued_timeout_check_interval": "240",
    }
    home.create()
    home.settings.write_text(json.dumps(faster))
    made = Cluster(home, environment)
    with socket.socket() as taken:
        taken.bind((ADDRESS, 0))
        taken.listen()
        made.port_before = taken.getsockname()[1]
        home.supervisor_state.write_text(f'{{"pid": {os.getpid()}, "port": {made.port_before}, "started": 0}}')
        home.supervisor_lock.touch()
        assert not made.deployment.status().running
        try:
            made.deployment.start(celery=True, seconds=600)
            made.have("thin", THIN)
            wait_until(lambda: made.accepting() == {"manager", "thin"})
        except BaseException:
            made.end()
            raise
    yield made
    port = int(made.deployment.url.rpartition(":")[2])
    supervisor = psutil.Process(made.supervisor)
    tree = [supervisor, *supervisor.children(recursive=True)]
    assert len(tree) > 4
    assert made.end()
    assert not psutil.wait_procs(tree, timeout=10)[1]
    left = marked_processes(home.folder)
    shutil.rmtree(home.folder, ignore_errors=True)
    assert left == []
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((ADDRESS, port))


@pytest.fixture
def client(cluster: Cluster) -> Iterator[AirflowClient]:
    with cluster.deployment.client() as made:
        yield made


def _records(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (output / "tasks").glob("*.json")}


def _expect_success(client: AirflowClient, run_id: str, seconds: float = 600) -> None:
    state = client.wait(DAG, run_id, seconds=seconds)
    assert state == "success", client.task_errors(DAG, run_id)


def _queues(client: AirflowClient, run_id: str) -> dict[tuple[str, int], set[str]]:
    """The queues of the tasks of each tier."""
    found: dict[tuple[str, int], set[str]] = {}
    for row in client.pages(f"/dags/{DAG}/dagRuns/{run_id}/taskInstances", "task_instances", {}):
        if row["map_index"] >= 0:
            stage, tier = row["task_id"].split(".tier_")
            found.setdefault((stage, int(tier)), set()).add(row["queue"])
    return found


def test_it_started_over_stale_traces_and_a_taken_port(cluster: Cluster) -> None:
    """A stale state file, and a port that another program holds, do not stop a start."""
    status = cluster.deployment.status()
    assert status.healthy
    assert status.url is not None
    assert int(status.url.rpartition(":")[2]) != cluster.port_before


def test_a_queue_that_nobody_serves_fails_before_any_other_task(
    client: AirflowClient, cluster: Cluster, conf: Conf, tmp_path: Path
) -> None:
    """`prepare` fails on its first try and names every tier that no worker has the memory for, and what there is."""
    run_id = client.trigger(DAG, conf(tmp_path / "run", task_memory=8))
    assert client.wait(DAG, run_id, seconds=480) == "failed"
    failed = client.task_instances(DAG, run_id, states=["failed"])
    assert [(task.task_id, task.try_number) for task in failed] == [("prepare", 1)]
    (error,) = client.task_errors(DAG, run_id)
    assert "QueueErrors" in error.message or "no queue takes" in error.message
    log = "\n".join(str(event) for task in failed for event in client.log_events(DAG, run_id, task))
    for word in ("labels, tier 0", "watershed, tier 0", "pyramid, tier 0", "thin (0.4 GiB a slot)", "manager"):
        assert word in log
    assert "agglomeration, tier 0" not in log
    assert _records(tmp_path / "run") == {}


def test_tasks_go_where_the_plan_sends_them(
    client: AirflowClient, cluster: Cluster, conf: Conf, local_run: LocalRun, results: Results, tmp_path: Path
) -> None:
    """Each tier is on the smallest queue that holds it, and the bytes are those of a run without Airflow."""
    from seuron.engine.run import Run

    cluster.have("wide", WIDE)
    offers = [QueueCapacity("thin", int(THIN * GIB)), QueueCapacity("wide", int(WIDE * GIB))]
    assert set(BrokerWorkers(cluster.broker).capacities()) >= set(offers)
    run_id = client.trigger(DAG, conf(tmp_path / "run"))
    _expect_success(client, run_id)
    plan = Run.open(str(tmp_path / "run")).plan
    wanted = assign(plan, [*offers, QueueCapacity(MANAGER, 0)])
    assert set(wanted.values()) == {"thin", "wide", MANAGER}, {k: v.memory_bytes for k, v in needs(plan).items()}
    assert _queues(client, run_id) == {tier: {queue} for tier, queue in wanted.items()}
    assert results(tmp_path / "run") == results(local_run())


@pytest.mark.long
def test_a_task_may_wait_for_a_worker_for_longer_than_it_takes_to_send_it_again(
    client: AirflowClient, cluster: Cluster, conf: Conf, tmp_path: Path
) -> None:
    """A worker that comes late takes the messages of before, and no task has lost a try by that."""
    cluster.have("wide", WIDE)
    BrokerWorkers(cluster.broker).drain("wide")
    wait_until(lambda: "wide" not in cluster.accepting())
    run_id = client.trigger(DAG, conf(tmp_path / "run", chunk_size="80,64,64"))
    wait_until(lambda: client.task_instances(DAG, run_id, states=["queued"]))
    time.sleep(QUEUED_TIMEOUT + LEEWAY + 5)
    (waiting, *_) = client.task_instances(DAG, run_id, states=["queued"])
    assert waiting.try_number == 1
    BrokerWorkers(cluster.broker).resume("wide")
    _expect_success(client, run_id)
    assert {task.try_number for task in client.task_instances(DAG, run_id) if task.state == "success"} == {1}


def test_a_drained_worker_finishes_and_takes_no_more(cluster: Cluster) -> None:
    """Its report says so soon; resumed, it takes tasks again; an unknown worker is an error."""
    BrokerWorkers(cluster.broker).drain("thin")
    wait_until(lambda: "thin" not in cluster.accepting())
    assert {r.instance: r.running for r in BrokerWorkers(cluster.broker).reports()}["thin"] == 0
    BrokerWorkers(cluster.broker).resume("thin")
    wait_until(lambda: "thin" in cluster.accepting())
    with pytest.raises(ComputeError, match="nobody"):
        BrokerWorkers(cluster.broker).drain("nobody")


@pytest.mark.long
def test_a_worker_that_is_told_to_end_gives_its_tasks_back(
    client: AirflowClient, cluster: Cluster, conf: Conf, local_run: LocalRun, results: Results, tmp_path: Path
) -> None:
    """SIGTERM during a task: the worker ends within its grace, the task is tried elsewhere, to the same bytes."""
    output = tmp_path / "run"
    cluster.have("wide", WIDE)
    BrokerWorkers(cluster.broker).drain("wide")  # which would do them all, where the machine is busy enough
    worker = cluster.start("brief", "wide", WIDE, "--grace", "0")
    wait_until(lambda: cluster.accepting() >= {"brief"} and "wide" not in cluster.accepting())
    run_id = client.trigger(DAG, conf(output))
    wait_until(lambda: any(r.instance == "brief" and r.running for r in BrokerWorkers(cluster.broker).reports()))
    worker.send_signal(signal.SIGTERM)
    worker.wait(240)
    assert "brief" not in {report.instance for report in BrokerWorkers(cluster.broker).reports()}
    BrokerWorkers(cluster.broker).resume("wide")
    _expect_success(client, run_id)
    assert results(output) == results(local_run())


@pytest.mark.chaos
def test_killed_workers_broker_database_and_scheduler_lose_nothing(
    client: AirflowClient, cluster: Cluster, conf: Conf, local_run: LocalRun, results: Results, tmp_path: Path
) -> None:
    """All of them are killed in turn during one run: it ends by itself, with the same bytes, and does nothing twice
    that had been finished.
    """
    output = tmp_path / "run"
    cluster.have("wide", WIDE)
    run_id = client.trigger(DAG, conf(output))
    finished: dict[str, bytes] = {}
    for number, service in enumerate(("worker-wide", "redis", "scheduler", "postgres"), start=1):
        wait_until(lambda least=2 * number: len(_records(output)) >= least, 200)  # type: ignore[misc]
        finished |= _records(output)
        cluster.kill(service)
        if service == "worker-wide":
            cluster.start("wide", "wide", WIDE)
    wait_until(lambda: cluster.deployment.status().healthy)  # without its database it answers with errors
    _expect_success(client, run_id)
    assert results(output) == results(local_run())
    assert finished.items() <= _records(output).items()


@pytest.mark.long
def test_a_worker_without_a_broker_ends_by_itself(tmp_path: Path, environment: dict[str, str]) -> None:
    """A manager that is lost leaves no worker behind: after its patience it ends with the code that says so."""
    port, url = free_port(), tmp_path / "broker"
    url.write_text(f"redis://127.0.0.1:{port}/0")
    read = {f"AIRFLOW__CELERY__{name}_CMD": f"cat {url}" for name in ("BROKER_URL", "RESULT_BACKEND")}
    outside = {name: value for name, value in environment.items() if not name.startswith("AIRFLOW_")}
    settings = {**outside, **read, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor"}
    command = [sys.executable, "-m", "seuron.cli", "worker", "--queue", "manager", "--name", "lost"]
    redis = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""])
    worker = subprocess.Popen([*command, "--patience", "0.1"], env=settings)
    try:
        wait_until(lambda: _answers(port))
        wait_until(lambda: any(report.accepting for report in BrokerWorkers(url.read_text()).reports()))
        redis.kill()
        assert worker.wait(240) == 3
    finally:
        for process in (redis, worker):
            process.kill()
            process.wait()
    commands = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert [command for command in commands if "--celery-hostname lost" in command] == []


def _answers(port: int) -> bool:
    """Whether something listens there."""
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False
