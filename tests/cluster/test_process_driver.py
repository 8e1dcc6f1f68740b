"""Worker processes of this machine as a driver: real processes, seen by every look at the folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from clusters import google_document, wait_for

from seuron.cluster.config import parse_cluster
from seuron.cluster.drivers import driver, process_groups
from seuron.cluster.groups import Instance
from seuron.cluster.processes import driver as process_driver
from seuron.cluster.processes.driver import ProcessDriver
from seuron.errors import ComputeError

#: A worker that ends when it is told to, one that does not listen, one that has a child, one that fails.
POLITE = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
PARENT = "import subprocess, sys; subprocess.Popen(['sleep', '600'], start_new_session=True).wait()"
FAILING = "print('no broker')"

Make = Callable[[str], ProcessDriver]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A driver of one group `cpu` whose workers run some Python; nothing outlives the test."""

    def made(code: str) -> ProcessDriver:
        def command(group: str, instance: str) -> Sequence[str]:
            return [sys.executable, "-c", code, group, instance]

        return ProcessDriver(tmp_path / "machines", ["cpu"], command, {"COLOUR": "blue"}, stop_seconds=0.5)

    yield made
    made(POLITE).kill(made(POLITE).found())
    left = [process for process in psutil.process_iter() if str(tmp_path) in _environment(process).values()]
    assert not left


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def process_of(instance: Instance) -> psutil.Process:
    """The process of an instance; its environment can be read only a moment after it was started."""
    found: list[psutil.Process] = []

    def look() -> bool:
        found[:] = [p for p in psutil.process_iter() if _environment(p).get("SEURON_INSTANCE") == instance.name]
        return bool(found)

    wait_for(look)
    return min(found, key=lambda process: process.create_time())


def test_instances_are_processes(make: Make) -> None:
    """Growing starts processes with their group and name, and deleting ends those that are named."""
    groups = make(POLITE)
    groups.resize("cpu", 3)
    instances = groups.instances("cpu")
    assert [item.state for item in instances] == ["running"] * 3
    assert groups.target("cpu") == 3
    processes = [process_of(item) for item in instances]
    assert [process.cmdline()[-2:] for process in processes] == [["cpu", item.name] for item in instances]
    assert processes[0].environ()["COLOUR"] == "blue"
    assert os.getsid(processes[0].pid) == processes[0].pid
    groups.delete("cpu", [instances[0].name, "gone"])
    assert groups.target("cpu") == 2
    wait_for(lambda: [item.name for item in groups.instances("cpu")] == [item.name for item in instances[1:]])
    assert not processes[0].is_running()
    groups.delete("cpu", [item.name for item in instances])
    wait_for(lambda: not groups.instances("cpu"))
    assert groups.target("cpu") == 0


def test_another_look_sees_the_same_instances(make: Make) -> None:
    """State is in the folder, so a second driver knows, and may end, what the first one started."""
    first, second = make(POLITE), make(POLITE)
    first.resize("cpu", 2)
    assert list(second.instances("cpu")) == list(first.instances("cpu"))
    second.resize("cpu", 2)
    assert len(first.instances("cpu")) == 2
    second.delete("cpu", [first.instances("cpu")[0].name])
    wait_for(lambda: len(first.instances("cpu")) == 1)


def test_a_killed_worker_is_replaced(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What dies after it has come up is made again at the next look, under a new name."""
    monkeypatch.setattr(process_driver, "EARLY_SECONDS", 0.0)
    groups = make(POLITE)
    groups.resize("cpu", 2)
    lost, kept = groups.instances("cpu")
    process_of(lost).send_signal(signal.SIGKILL)
    wait_for(lambda: lost.name not in {item.name for item in groups.instances("cpu")})
    names = {item.name for item in groups.instances("cpu")}
    assert len(names) == 2
    assert kept.name in names
    assert not groups.shortages("cpu")


def test_a_worker_that_does_not_come_up_is_a_shortage(make: Make) -> None:
    """A command that fails at once is told, with its log, and not tried again and again."""
    before = time.time()
    groups = make(FAILING)
    groups.resize("cpu", 1)
    wait_for(lambda: groups.instances("cpu") == [] and groups.shortages("cpu"))
    shortages = groups.shortages("cpu")
    assert [item.kind for item in shortages] == ["other"]
    assert before <= shortages[0].time <= time.time()
    log = Path(shortages[0].message.rpartition("see ")[2])
    assert log.read_text() == "no broker\n"
    for _ in range(3):
        assert groups.instances("cpu") == []
    assert groups.target("cpu") == 1
    assert len(groups.shortages("cpu")) == 1


def test_a_deaf_worker_is_killed_in_time(make: Make) -> None:
    """A worker that ignores SIGTERM is `stopping` for the time it has, and then killed."""
    groups = make(DEAF)
    groups.resize("cpu", 1)
    (instance,) = groups.instances("cpu")
    wait_for(lambda: groups.log(instance.name).read_text() == "deaf\n")
    process = process_of(instance)
    groups.delete("cpu", [instance.name])
    assert [item.state for item in groups.instances("cpu")] == ["stopping"]
    wait_for(lambda: not groups.instances("cpu"))
    assert not process.is_running()


def test_children_of_a_worker_go_with_it(make: Make) -> None:
    """Nothing is left over: also what a worker started in a session of its own is ended."""
    groups = make(PARENT)
    groups.resize("cpu", 1)
    (instance,) = groups.instances("cpu")
    wait_for(lambda: process_of(instance).children())
    (child,) = process_of(instance).children()
    process_of(instance).send_signal(signal.SIGKILL)
    wait_for(lambda: instance.name not in {item.name for item in groups.instances("cpu")})
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_number_that_was_given_to_another_process_does_not_count(make: Make, tmp_path: Path) -> None:
    """The system gives process numbers again; the time of the start tells them apart."""
    groups = make(POLITE)
    groups.resize("cpu", 1)
    (instance,) = groups.instances("cpu")
    process = process_of(instance)
    file = tmp_path / "machines" / "cpu.json"
    time.sleep(0.05)  # the kernel counts starts in hundredths of a second
    with subprocess.Popen(["sleep", "600"]) as innocent:
        file.write_text(file.read_text().replace(f'"pid": {process.pid}', f'"pid": {innocent.pid}'))
        found = {item.name for item in groups.instances("cpu")}
        alive = innocent.poll() is None
        innocent.kill()
    assert instance.name not in found
    assert alive
    process.wait(timeout=10)  # the instance's own process was found by its name, and killed


def test_refusals(make: Make, tmp_path: Path) -> None:
    """A smaller size, an unknown group and a missing command are errors that say what to do."""
    groups = make(POLITE)
    groups.resize("cpu", 1)
    with pytest.raises(ComputeError, match="delete instances by name"):
        groups.resize("cpu", 0)
    with pytest.raises(ComputeError, match="no group 'gpu'; the cluster has cpu"):
        groups.instances("gpu")
    missing = ProcessDriver(tmp_path / "other", ["cpu"], lambda group, name: ["no-such-command"])
    with pytest.raises(ComputeError, match="cannot start no-such-command for group cpu"):
        missing.resize("cpu", 1)
    assert missing.target("cpu") == 0


def test_the_driver_of_a_file(tmp_path: Path) -> None:
    """A file with provider = 'processes' runs `seuron worker` with its queue, slots and name."""
    document = google_document()
    group = {"name": "all", "queue": "cpu", "slots": 2, "max_size": 3}
    settings = {"name": "here", "provider": "processes", "queues": document["queues"], "groups": [group]}
    cluster = parse_cluster(settings, tmp_path)
    groups = process_groups(cluster)
    words = groups._command("all", "all-1")
    assert words[1:8] == ["-m", "seuron.cli", "worker", "--queue", "cpu", "--slots", "2"]
    assert words[8:10] == ["--name", "all-1"]
    with driver(cluster) as made:
        assert isinstance(made, ProcessDriver)
    assert cluster.capacities[0].memory_bytes == psutil.virtual_memory().total // 6
