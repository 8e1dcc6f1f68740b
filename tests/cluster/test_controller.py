"""Steps of a cluster, with real processes, the stand-in for Compute Engine, and a real broker."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from clusters import google_cluster, wait_for
from compute_engine.server import ComputeEngine

from seuron.cluster.cluster_state import QueueDepth, TasksEnded
from seuron.cluster.config import Cluster, parse_cluster
from seuron.cluster.controller import Controller, QueueState
from seuron.cluster.costs.budgets import TierAhead
from seuron.cluster.google.driver import GoogleDriver
from seuron.cluster.groups import WorkerReport
from seuron.cluster.processes.driver import ProcessDriver
from seuron.cluster.records import ClusterEvent, Records
from seuron.cluster.workers import BROKER_ERRORS, BrokerWorkers, WorkerService, connect, forget, write_report
from seuron.errors import ComputeError, RunError

POLICY = {"idle_seconds": 30, "settle_seconds": 10, "ramp_seconds": 5, "first_instances": 2}
DOCUMENT: dict[str, Any] = {
    "name": "here",
    "provider": "processes",
    "queues": [{"name": "cpu"}],
    "groups": [
        {"name": "cheap", "queue": "cpu", "slots": 1, "max_size": 3, "price": 0.1},
        {"name": "dear", "queue": "cpu", "slots": 1, "max_size": 3, "price": 1.0},
    ],
    "policy": POLICY,
}


@dataclass
class Queues:
    """What Airflow would say."""

    depth: QueueDepth = field(default_factory=lambda: QueueDepth(0, 0))
    ended: dict[str, TasksEnded] = field(default_factory=dict)
    limited: dict[str, tuple[TierAhead, ...]] = field(default_factory=dict)
    silent: bool = False

    def queue_state(self, queues: Sequence[str], since: float, until: float) -> QueueState:
        if self.silent:
            raise RunError("no answer")
        running = {"run": {"cpu": self.depth.running}} if self.depth.running else {}
        return QueueState({"cpu": self.depth}, running, ended=self.ended, limited=self.limited)


@dataclass
class Reports:
    """What the workers of the instances would say."""

    driver: ProcessDriver | GoogleDriver
    groups: tuple[str, ...]
    clock: Clock
    running: dict[str, int] = field(default_factory=dict)
    drained: set[str] = field(default_factory=set)
    silent: bool = False

    def reports(self) -> Sequence[WorkerReport]:
        if self.silent:
            raise ComputeError("the broker does not answer")
        instances = [item for group in self.groups for item in self.driver.instances(group) if item.state == "running"]
        return [
            WorkerReport(
                item.name, self.clock(), self.running.get(item.name, 0), 0.0, item.name not in self.drained, 0, 0
            )
            for item in instances
        ]

    def drain(self, name: str) -> None:
        self.drained.add(name)

    def resume(self, name: str) -> None:
        self.drained.discard(name)


@dataclass
class Clock:
    """The present, or later."""

    later: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.later


class Pool:
    """A cluster of processes that only sleep, and who controls it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock, self.queues = folder, Clock(), Queues()
        self.driver = ProcessDriver(
            folder / "machines", ["cheap", "dear"], lambda group, name: ["sleep", "600"], stop_seconds=2.0
        )
        self.workers = Reports(self.driver, ("cheap", "dear"), self.clock)
        self.records = Records(folder / "cluster")
        self.document = dict(DOCUMENT)

    @property
    def cluster(self) -> Cluster:
        return parse_cluster(self.document, self.folder)

    def controller(self, driver: Any = None, workers: Any = None) -> Controller:
        return Controller(
            self.cluster, driver or self.driver, self.queues, workers or self.workers, self.records, self.clock
        )

    def step(self, later: float = 0.0, **options: Any) -> ClusterEvent:
        self.clock.later += later
        return self.controller(**options).step()

    def live(self) -> set[str]:
        return {
            item.name for group in ("cheap", "dear") for item in self.driver.instances(group) if item.state == "running"
        }

    def kill(self, name: str) -> None:
        """SIGKILL, as a spot instance goes."""
        for group in ("cheap", "dear"):
            with self.driver._open(group) as state:
                for record in state.instances:
                    if record.name == name:
                        os.kill(record.pid, signal.SIGKILL)
                        os.waitpid(record.pid, 0)


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    made = Pool(tmp_path)
    yield made
    made.driver.kill(["cheap", "dear"])


def test_a_pool_grows_with_the_work_and_ends_at_nothing(pool: Pool) -> None:
    """Ready tasks get instances, the cheap ones first; when all is done they are drained, then deleted."""
    assert not pool.step().happened
    pool.queues.depth = QueueDepth(40, 0, planned_seconds=60.0)
    assert pool.step(10).reasons
    assert len(pool.live()) > 0
    for _ in range(4):
        pool.step(10)
    assert {name.split("-")[0] for name in pool.live()} == {"cheap", "dear"}
    assert pool.driver.target("cheap") == 3
    pool.queues.depth = QueueDepth(0, 0)
    for _ in range(8):
        pool.step(15)
    wait_for(lambda: not pool.live())
    assert pool.driver.target("cheap") == pool.driver.target("dear") == 0
    ledger = pool.records.ledger()
    assert ledger.groups["cheap"] > 0
    assert ledger.groups["dear"] > 0


def test_no_busy_instance_is_deleted(pool: Pool) -> None:
    """One that runs a task is told to take no more and stays until it has ended."""
    pool.queues.depth = QueueDepth(1, 0)
    pool.step()
    (name,) = pool.live()
    pool.workers.running[name] = 1
    pool.queues.depth = QueueDepth(0, 0)  # what runs belongs to nobody that Airflow knows
    for _ in range(6):
        pool.step(30)
    assert pool.workers.drained == {name}
    assert pool.live() == {name}
    del pool.workers.running[name]
    assert pool.step(30).deleted == (name,)


def test_a_lost_instance_is_told_and_replaced_and_blamed_for_nothing(pool: Pool) -> None:
    """An instance that vanished is `lost`, its group has another, and what ended on it is forgotten."""
    pool.queues.depth = QueueDepth(1, 0)
    pool.step()
    (name,) = pool.live()
    pool.queues.ended = {name: TasksEnded(failed=1, succeeded=2)}
    pool.step(5)
    snapshot = pool.records.snapshot()
    assert snapshot is not None
    assert snapshot.ended == {name: TasksEnded(1, 2)}
    # As long after its start as the driver wants, not to be taken for one that never came up.
    record_of_long_ago(pool, name)
    pool.kill(name)
    pool.queues.ended = {}
    event = pool.step(5)
    assert event.lost == (f"{name} (on demand)",)
    assert len(pool.live()) == 1
    assert pool.live() != {name}
    after = pool.records.snapshot()
    assert after is not None
    assert after.ended == {}
    assert pool.records.events()[-1] == event


def record_of_long_ago(pool: Pool, name: str) -> None:
    with pool.driver._open("cheap") as state:
        records = tuple(replace(item, created=item.created - 100) for item in state.instances)
        pool.driver._write("cheap", replace(state, instances=records))


def test_a_worker_that_begins_is_not_taken_for_a_drained_one(pool: Pool) -> None:
    """It reports before it takes tasks: it is neither resumed nor removed, and no other is made in its place."""
    pool.queues.depth = QueueDepth(1, 0)
    pool.step()
    (name,) = pool.live()
    pool.workers.drained.add(name)
    for _ in range(3):
        assert not pool.step(5).happened
    assert pool.live() == {name}


def test_tasks_that_are_expected_get_machines_before_they_are_ready(pool: Pool) -> None:
    """A setup says what comes, and the group has begun when it does."""
    pool.controller().step({"cpu": QueueDepth(40, 0, planned_seconds=60.0)})
    assert pool.live()
    assert not pool.records.events()[0].problems


@pytest.mark.parametrize("who", ["broker", "Airflow"])
def test_who_does_not_answer_leaves_things_as_they_are(pool: Pool, who: str) -> None:
    """Neither grown nor shrunk, and the event says who is silent; afterwards it goes on."""
    pool.queues.depth = QueueDepth(1, 0)
    pool.step()
    before = pool.live()
    pool.queues.depth = QueueDepth(0, 0)
    memory = pool.records.memory()
    pool.workers.silent, pool.queues.silent = who == "broker", who == "Airflow"
    for _ in range(3):
        event = pool.step(20)
        assert event.problems
        assert not event.deleted
    assert pool.live() == before
    assert not pool.workers.drained
    if who == "broker":
        assert pool.records.memory() == memory
    pool.workers.silent = pool.queues.silent = False
    for _ in range(6):
        pool.step(20)
    wait_for(lambda: not pool.live())


def test_a_step_that_dies_is_mended_by_the_next(pool: Pool) -> None:
    """Killed at any of its acts, it leaves nothing locked, and the steps after it reach the same end."""

    class Killed(BaseException):
        pass

    class Dying(ProcessDriver):
        """Dies where it is asked to change anything."""

        def resize(self, group: str, size: int) -> None:
            raise Killed

        def delete(self, group: str, names: Sequence[str]) -> None:
            raise Killed

    dying = Dying(pool.folder / "machines", ["cheap", "dear"], lambda group, name: ["sleep", "600"])
    pool.queues.depth = QueueDepth(1, 0)
    with pytest.raises(Killed):
        pool.step(driver=dying)
    assert not pool.live()
    pool.step()
    assert len(pool.live()) == 1
    pool.queues.depth = QueueDepth(0, 0)
    died = 0
    for _ in range(6):
        try:
            pool.step(20, driver=dying)
        except Killed:
            died += 1
    assert died
    assert len(pool.live()) == 1
    pool.step(20)
    wait_for(lambda: not pool.live())


def test_a_budget_holds_the_queue_until_it_is_raised(pool: Pool) -> None:
    """Used up, nothing grows and what is idle goes, though tasks wait; a larger one in the file goes on."""
    pool.document["budget_dollars"] = 0.2
    pool.queues.depth = QueueDepth(2, 0, planned_seconds=60.0)
    pool.step()
    assert pool.live()
    for _ in range(4):
        pool.step(3600)
    wait_for(lambda: not pool.live())
    snapshot = pool.records.snapshot()
    assert snapshot is not None
    assert snapshot.held == ("cpu",)
    assert snapshot.spent >= 0.2
    assert any("budget" in reason for event in pool.records.events() for reason in event.reasons)
    pool.step(3600)
    assert not pool.live()
    pool.document["budget_dollars"] = 100.0
    pool.step(60)
    assert pool.live()


def test_a_step_says_what_a_run_would_still_spend(pool: Pool) -> None:
    """In the slots that it has asked for, until the next step and to the end of a task; kept while nobody answers."""
    pool.queues.depth = QueueDepth(2, 0, planned_seconds=400.0)
    pool.queues.limited = {"thrifty": (TierAhead("cpu", 100, 540.0), TierAhead("cpu", 1))}
    pool.step()
    snapshot = pool.records.snapshot()
    assert snapshot is not None
    assert snapshot.groups[0].target == 0, "as it was before the step"
    slots = pool.driver.target("cheap")
    assert slots > 0
    assert snapshot.ahead == {"thrifty": pytest.approx(slots * 0.1 * (60 + 540) / 3600)}
    pool.queues.silent = True
    pool.step(60)
    assert (later := pool.records.snapshot()) is not None
    assert later.ahead == snapshot.ahead
    pool.queues.silent = False
    pool.step(100)
    assert (late := pool.records.snapshot()) is not None
    assert late.ahead["thrifty"] > snapshot.ahead["thrifty"] * 1.05, "steps that come late are expected to"


def test_two_steps_never_run_at_once(pool: Pool) -> None:
    """Many steps from many threads leave the instances of one."""
    pool.queues.depth = QueueDepth(2, 0, planned_seconds=400.0)
    threads = [threading.Thread(target=pool.controller().step) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pool.live()) == 2
    with pytest.raises(ComputeError, match="another step"), pool.records.lock(1.0), pool.records.lock(0.1):
        pass


def test_records_survive_a_line_that_was_cut_off(tmp_path: Path) -> None:
    """What a killed writer left of a line is passed over, and the next line is whole."""
    records = Records(tmp_path)
    first, second = ClusterEvent(1.0, ("one",)), ClusterEvent(2.0, ("two",))
    records.add(first)
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"time": 1.5, "rea')
    records.add(second)
    assert records.events() == [first, second]
    (tmp_path / "memory.json").write_text("{")
    with pytest.raises(ComputeError, match=r"memory.json is not what a step writes; move it away"):
        records.memory()


def test_demand_moves_from_a_zone_without_stock(engine: ComputeEngine, groups: GoogleDriver, tmp_path: Path) -> None:
    """On Google: what the cheap zone cannot make is asked for in the other one, and the event says why."""
    clock, queues = Clock(), Queues(QueueDepth(40, 0, planned_seconds=300.0))
    engine.service.faults.no_stock.add("us-east1-b")
    workers = Reports(groups, ("spot", "sure"), clock)
    cluster = google_cluster(policy=POLICY)
    controller = Controller(cluster, groups, queues, workers, Records(tmp_path), clock)
    controller.step()
    wait_for(lambda: groups.shortages("spot"))
    clock.later += 10
    assert any("no stock" in reason for reason in controller.step().reasons)
    clock.later += 10
    controller.step()
    assert groups.target("sure") > 0
    assert groups.target("spot") == 0


def test_a_group_that_cannot_be_seen_is_left_alone(engine: ComputeEngine, groups: GoogleDriver, tmp_path: Path) -> None:
    """One zone's faults are told, its group keeps its size, and the other group goes on."""
    clock, queues = Clock(), Queues(QueueDepth(3, 0, planned_seconds=300.0))
    workers = Reports(groups, ("sure",), clock)
    controller = Controller(google_cluster(policy=POLICY), groups, queues, workers, Records(tmp_path), clock)
    controller.step()
    size = groups.target("spot")
    assert size > 0
    engine.service.faults.answers.append(["spot.*listErrors", 403, 3])
    queues.depth = QueueDepth(0, 0)
    for _ in range(3):
        clock.later += 60
        event = controller.step()
        assert "group spot cannot be seen" in event.problems[0]
    assert groups.target("spot") == size


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    """The address of a real Redis."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server (Debian's redis-server)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    redis = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
    url = f"redis://127.0.0.1:{port}/0"

    def answers() -> bool:
        try:
            return bool(connect(url).ping())
        except BROKER_ERRORS:
            return False

    wait_for(answers)
    yield url
    redis.kill()
    redis.wait()


def test_reports_come_from_the_broker(pool: Pool, broker: str) -> None:
    """Instances that report to Redis are at work; without Redis nothing is done, and no password is shown."""
    workers = BrokerWorkers(broker)
    pool.queues.depth = QueueDepth(1, 0)
    pool.step(workers=workers)
    (name,) = pool.live()
    redis = connect(broker)
    write_report(redis, WorkerReport(name, pool.clock(), 0, 0.0, True, 0.1, 0.1), WorkerService(("cpu",), 1, 2**30))
    pool.step(5, workers=workers)
    snapshot = pool.records.snapshot()
    assert snapshot is not None
    assert set(snapshot.reports) == {name}
    forget(redis, name)
    silent = BrokerWorkers("redis://:secret@127.0.0.1:1/0")
    event = pool.step(5, workers=silent)
    assert "broker does not answer" in event.problems[0]
    assert "secret" not in repr(silent) + event.problems[0]
    assert pool.live() == {name}
