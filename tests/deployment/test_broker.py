"""The broker: where its address is, that its password stays in files, and what is said where there is none."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError

from seuron.cluster.groups import WorkerReport
from seuron.cluster.local_machine import LocalMachine
from seuron.cluster.workers import BrokerWorkers, WorkerService, connect, forget, write_report
from seuron.deployment.broker import ADDRESS, Broker
from seuron.deployment.environment import broker_url, service_environment
from seuron.deployment.home import Home
from seuron.engine.queues import QueueCapacity
from seuron.errors import ComputeError, DamagedFileError, RunError

needs_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server (Debian's redis-server)")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    return made


@pytest.fixture
def broker(home: Home) -> Iterator[Broker]:
    """A broker that runs."""
    made = Broker.prepare(home)
    with subprocess.Popen(made.command, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 10
        while not made.is_ready():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield made
        process.kill()


def test_the_password_is_in_no_command_and_no_environment(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any process may read another's command line, so the password is in files that only the owner reads."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    broker = Broker.prepare(home)
    environment = service_environment(home, "scheduler", 8123, tmp_path, LocalMachine(2, 0), celery=True)
    assert environment["AIRFLOW__CORE__EXECUTOR"].endswith("CeleryExecutor")
    assert broker.password not in " ".join(broker.command)
    assert [name for name, value in environment.items() if broker.password in value] == []
    for path in (home.broker_url, broker.configuration, home.folder / "keys.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert broker_url(environment) == broker.url


def test_keys_of_an_older_deployment_get_what_they_lack(home: Home) -> None:
    """A deployment that had no broker keeps its keys and gets a password for one."""
    old = {"jwt": "a", "session": "b", "fernet": "c"}
    (home.folder / "keys.json").write_text(json.dumps(old))
    keys = home.keys()
    assert old.items() <= keys.items()
    assert len(keys["broker"]) > 20
    assert home.keys() == keys


def test_without_redis_server_it_says_what_to_install(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clear error before anything is started."""
    monkeypatch.setenv("PATH", str(home.folder))
    with pytest.raises(RunError, match="apt-get install redis-server"):
        Broker.prepare(home)


def test_an_environment_without_a_broker_is_an_error() -> None:
    """The message names the variable; a command that fails is told from one that is missing."""
    assert broker_url({"AIRFLOW__CELERY__BROKER_URL": "redis://x"}) == "redis://x"
    with pytest.raises(RunError, match="BROKER_URL_CMD"):
        broker_url({})
    with pytest.raises(RunError, match="gave no address"):
        broker_url({"AIRFLOW__CELERY__BROKER_URL_CMD": "cat /nonexistent"})


def test_options_of_the_users_own_replace_the_deployments(home: Home, tmp_path: Path) -> None:
    """`settings.json` in the state folder has the last word."""
    home.settings.write_text('{"core.parallelism": "7"}')
    environment = service_environment(home, "scheduler", 8123, tmp_path, LocalMachine(2, 0))
    assert environment["AIRFLOW__CORE__PARALLELISM"] == "7"


@needs_redis
def test_it_asks_for_the_password_and_keeps_its_port(home: Home, broker: Broker) -> None:
    """Nobody without the password gets in; a restart comes back where workers look for it."""
    with pytest.raises(AuthenticationError):
        Redis(host=ADDRESS, port=broker.port).ping()
    assert connect(broker.url).ping()
    first = broker.port
    connect(broker.url).shutdown(nosave=True)
    deadline = time.monotonic() + 10
    while broker.is_ready() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert Broker.prepare(home).port == first


@needs_redis
def test_a_killed_broker_has_lost_nothing(home: Home, broker: Broker) -> None:
    """What it had said yes to is there after a SIGKILL."""
    client = connect(broker.url)
    client.rpush("cpu", *(f"task {number}" for number in range(1000)))
    os.kill(int(client.info("server")["process_id"]), 9)
    with subprocess.Popen(broker.command, stdout=subprocess.DEVNULL) as again:
        while not broker.is_ready():
            time.sleep(0.02)
        assert connect(broker.url).llen("cpu") == 1000
        again.kill()


@needs_redis
def test_reports_are_read_as_they_were_written(broker: Broker) -> None:
    """Each worker has one report, the last; it expires, and the offers are those of the workers that report."""
    client = connect(broker.url)
    old, new = (WorkerReport("a", now, 1, 2.5, True, 0.25, 0.5) for now in (1.0, 2.0))
    service = WorkerService(("cpu", "memory"), 4, 2**30, 0)
    for report in (old, new, WorkerReport("b", 3.0, 0, 0.0, False, 0.0, 0.0)):
        write_report(client, report, service)
    assert [(report.instance, report.time) for report in BrokerWorkers(broker.url).reports()] == [
        ("a", 2.0),
        ("b", 3.0),
    ]
    assert BrokerWorkers(broker.url).reports()[0] == new
    assert set(BrokerWorkers(broker.url).capacities()) == {QueueCapacity("cpu", 2**30), QueueCapacity("memory", 2**30)}
    assert 0 < client.ttl("seuron:worker:a") <= 30
    forget(client, "a")
    assert [report.instance for report in BrokerWorkers(broker.url).reports()] == ["b"]


@needs_redis
def test_a_damaged_report_hides_no_other(broker: Broker) -> None:
    """A report that was cut off, or is another version's, ended `seuron workers` and `prepare` for all."""
    client = connect(broker.url)
    write_report(client, WorkerReport("good", 1.0, 0, 0.0, True, 0.0, 0.0), WorkerService(("cpu",), 4, 2**30))
    for name, content in {"cut": '{"report": {', "other": '{"report": {}, "service": 5}', "zeros": "\0"}.items():
        client.set(f"seuron:worker:{name}", content)
    client.rpush("seuron:worker:list", "a")
    workers = BrokerWorkers(broker.url)
    assert [report.instance for report in workers.reports()] == ["good"]
    assert (workers.slots(), workers.capacities()) == (4, [QueueCapacity("cpu", 2**30)])
    problems = workers.damaged()
    assert len(problems) == 4
    for name in ("cut", "list", "other", "zeros"):
        assert sum(f"the worker '{name}' is damaged" in problem for problem in problems) == 1
    with pytest.raises(DamagedFileError, match="'cut' is damaged"):
        workers.drain("cut")


@needs_redis
def test_a_worker_or_a_broker_that_does_not_answer_is_an_error(broker: Broker) -> None:
    """The message names the worker, and never the address, which holds a password."""
    with pytest.raises(ComputeError, match="'nobody' does not report"):
        BrokerWorkers(broker.url).drain("nobody")
    with pytest.raises(ComputeError) as raised:
        BrokerWorkers(f"redis://:secret@{ADDRESS}:1/0").reports()
    assert "secret" not in str(raised.value)
