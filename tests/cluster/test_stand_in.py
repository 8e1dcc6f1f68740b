"""The stand-in's machines as real processes: what an end-to-end test builds on."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from clusters import connection, google_cluster, wait_for
from compute_engine.machines import ProcessMachines
from compute_engine.server import ComputeEngine

from seuron.cluster.google.driver import GoogleDriver
from seuron.cluster.google.layout import desired_resources
from seuron.cluster.google.resources import GoogleResources
from seuron.cluster.resource_plan import plan_changes

#: In place of `seuron` and of the manager's `serve`: writes its words down, and ends 0.2 s after SIGTERM.
WORKER = """
import signal, sys, time, os
def end(number, frame):
    time.sleep(0.2)
    print("ended in good order", flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, end)
print(*sys.argv[1:], os.environ.get("SEURON_GROUP"), flush=True)
time.sleep(600)
"""


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[ProcessMachines]:
    python = [sys.executable, "-c", WORKER]
    machines = ProcessMachines(tmp_path / "logs", replace={"seuron": python, "serve": python})
    yield machines
    machines.stop_all()


@pytest.fixture
def groups(machines: ProcessMachines) -> Iterator[tuple[ComputeEngine, GoogleDriver]]:
    with ComputeEngine(machines) as engine, connection(engine.url) as client:
        engine.service.times.shutdown = 5.0
        resources = GoogleResources(client, "tissue")
        resources.apply(plan_changes(desired_resources(google_cluster()), ()))
        yield engine, GoogleDriver(client, "tissue", {"spot": "us-east1-b", "sure": "us-east1-c"})


def test_machines_run_the_command_of_their_template(
    machines: ProcessMachines, groups: tuple[ComputeEngine, GoogleDriver]
) -> None:
    """An instance is a process group with the worker's words and its own name, and a deletion lets it end well."""
    _, driver = groups
    driver.resize("spot", 2)
    wait_for(lambda: [item.state for item in driver.instances("spot")] == ["running"] * 2)
    first = driver.instances("spot")[0].name
    log = machines.folder / f"{first}.log"
    wait_for(lambda: log.exists() and log.read_text())
    assert log.read_text().startswith(f"worker --queue cpu --slots 8 --name {first} --memory 3.812 --gpus 0 spot")
    pid = machines.pid(first)
    assert os.getpgid(pid) == pid
    driver.delete("spot", [first])
    wait_for(lambda: len(driver.instances("spot")) == 1)
    assert "ended in good order" in log.read_text()
    assert not psutil.pid_exists(pid)


def test_a_preempted_machine_is_killed_at_once(
    machines: ProcessMachines, groups: tuple[ComputeEngine, GoogleDriver]
) -> None:
    """Spot loss is SIGKILL without a word, and the group makes the machine again."""
    engine, driver = groups
    driver.resize("spot", 1)
    wait_for(lambda: [item.state for item in driver.instances("spot")] == ["running"])
    name = driver.instances("spot")[0].name
    log = machines.folder / f"{name}.log"
    wait_for(lambda: log.exists() and log.read_text())
    before = machines.pid(name)
    engine.service.preempt(name)
    wait_for(lambda: [item.state for item in driver.instances("spot")] == ["running"])
    assert machines.pid(name) != before
    assert "ended in good order" not in log.read_text()


def test_a_worker_that_ends_takes_its_machine_along(
    machines: ProcessMachines, groups: tuple[ComputeEngine, GoogleDriver]
) -> None:
    """As the start-up script does: a machine whose worker ended leaves its group, and the target falls."""
    _, driver = groups
    driver.resize("sure", 1)
    wait_for(lambda: [item.state for item in driver.instances("sure")] == ["running"])
    name = driver.instances("sure")[0].name
    log = machines.folder / f"{name}.log"
    wait_for(lambda: log.exists() and log.read_text())
    machines.notify(name)
    began = time.monotonic()
    wait_for(lambda: not driver.instances("sure"))
    assert time.monotonic() - began < 5
    assert driver.target("sure") == 0
