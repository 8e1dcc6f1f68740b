"""`seuron cluster`: what it prints, what it asks, its exit codes, and that it does what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import wait_for
from compute_engine.server import ComputeEngine
from typer.testing import CliRunner, Result

from seuron.cli import app
from seuron.errors import ComputeError, ParameterErrors

FILE = """
name = "tissue"
provider = "google"
[google]
project = "p"
region = "us-east1"
service_account = "seuron@p.iam.gserviceaccount.com"
endpoint = "{url}"
[images]
container = "registry.example/seuron:1"
[manager]
zone = "us-east1-b"
command = ["serve"]
[[queues]]
name = "cpu"
[[groups]]
name = "spot"
queue = "cpu"
zone = "us-east1-b"
machine_type = "e2-standard-8"
slots = 8
max_size = 3
spot = true
[[groups]]
name = "sure"
queue = "cpu"
zone = "us-east1-c"
machine_type = "e2-standard-8"
slots = 8
max_size = 2
"""


@pytest.fixture
def engine() -> Iterator[ComputeEngine]:
    with ComputeEngine() as engine:
        yield engine


@pytest.fixture
def file(engine: ComputeEngine, tmp_path: Path) -> str:
    path = tmp_path / "tissue.toml"
    path.write_text(FILE.format(url=engine.url))
    return str(path)


def call(*words: str, answer: str = "") -> Result:
    return CliRunner().invoke(app, ["cluster", *words], input=answer, catch_exceptions=False)


def made(engine: ComputeEngine) -> int:
    return sum(len(items) for items in engine.service.resources.values())


def test_the_life_of_a_cluster(engine: ComputeEngine, file: str) -> None:
    """Check, create, scale, status and delete do what they say, each with its exit code."""
    checked = call("create", file, "--check")
    assert checked.exit_code == 3
    assert "6 to do, 0 to keep" in checked.output
    assert "at rest $0.15 an hour (the manager), at most $1.05" in checked.output
    assert made(engine) == 0

    assert call("create", file, "--yes").exit_code == 0
    assert made(engine) == 6
    again = call("create", file, "--check")
    assert again.exit_code == 0
    assert "0 to do, 6 to keep" in again.output

    grown = call("scale", "cpu", "4", file)
    assert grown.output == "spot: 0 -> 3\nsure: 0 -> 1\n"
    wait_for(lambda: made(engine) == 10)
    shown = json.loads(call("status", file, "--json").output)
    assert [(group["name"], group["running"], group["target"]) for group in shown["groups"]] == [
        ("spot", 3, 3),
        ("sure", 1, 1),
    ]
    prices = {group["name"]: group["price"] for group in shown["groups"]}
    assert shown["dollars_an_hour"] == pytest.approx(shown["manager"] + 3 * prices["spot"] + prices["sure"])

    assert json.loads(call("scale", "cpu", "2", file, "--json").output)["groups"][1]["removed"]
    wait_for(lambda: made(engine) == 8)
    gone = call("delete", file, "--yes")
    assert gone.exit_code == 0
    assert "nothing of tissue is left" in gone.output
    assert made(engine) == 0
    assert "there is nothing of tissue" in call("delete", file, "--yes").output


def test_nothing_is_done_without_a_yes(engine: ComputeEngine, file: str) -> None:
    """A plan that is not agreed to leaves all as it was, and the exit code says so."""
    refused = call("create", file, answer="n\n")
    assert refused.exit_code == 1
    assert "Make these 6 changes?" in refused.output
    assert json.loads(call("create", file, "--json").output)["done"] is False
    assert made(engine) == 0
    assert call("create", file, answer="y\n").exit_code == 0
    assert call("delete", file, answer="n\n").exit_code == 1
    assert made(engine) == 6


def test_status_says_what_keeps_a_group_small(engine: ComputeEngine, file: str) -> None:
    """A zone without machines shows up once, however often it was tried."""
    call("create", file, "--yes")
    engine.service.faults.no_stock.add("us-east1-b")
    call("scale", "spot", "2", file)
    wait_for(lambda: len(engine.service.errors["us-east1-b", "tissue-spot"]) > 3)
    shown = call("status", file).output
    assert shown.count("spot: no_stock: ZONE_RESOURCE_POOL_EXHAUSTED") == 1
    row = next(line.split() for line in shown.splitlines() if line.startswith("spot "))
    assert row == ["spot", "cpu", "us-east1-b", "yes", "2", "2", "0", "0", "3", "0.00"]


def test_sizes_that_cannot_be(file: str) -> None:
    """More than max_size and names that are neither a queue nor a group are refused with what there is."""
    with pytest.raises(ParameterErrors, match=r"cpu may have 0 to 5 instances"):
        call("scale", "cpu", "6", file)
    with pytest.raises(ParameterErrors, match=r"'gpu' is neither a queue nor a group; there are cpu, spot, sure"):
        call("scale", "gpu", "1", file)


def test_status_before_create(file: str) -> None:
    """A cluster that was not made is an error that names the command that makes it."""
    with pytest.raises(ComputeError, match="seuron cluster create"):
        call("status", file)


def test_a_wrong_file_ends_with_all_its_errors(tmp_path: Path) -> None:
    """The command itself: exit code 2, all problems, no traceback; the file may come from SEURON_CLUSTER."""
    bad = tmp_path / "bad.toml"
    bad.write_text('name = "Bad"\nprovider = "google"\nqueues = []\n')
    command = [sys.executable, "-m", "seuron.cli", "cluster", "status"]
    environment = {"SEURON_CLUSTER": str(bad), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "problems with the cluster's file" in done.stderr
    for place in ("`name`", "`queues`", "`groups` is missing", "`google` is missing", "`manager` is missing"):
        assert place in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cluster_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same commands on this machine: least sizes are started, and delete leaves nothing."""
    file = tmp_path / "here.toml"
    file.write_text(
        'name = "here"\nprovider = "processes"\nqueues = [{ name = "cpu" }]\n[processes]\nfolder = "machines"\n'
        '[[groups]]\nname = "all"\nqueue = "cpu"\nslots = 1\nmin_size = 1\nmax_size = 2\n'
    )
    # In place of Python: any process that lasts. Workers themselves are tested with Celery.
    sleeper = tmp_path / "sleeper"
    sleeper.write_text("#!/bin/sh\nexec sleep 600\n")
    sleeper.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(sleeper))
    path = str(file)
    assert call("create", path, "--check").exit_code == 3
    assert call("create", path, "--yes").exit_code == 0
    assert call("create", path, "--check").exit_code == 0
    assert call("scale", "cpu", "2", path).output == "all: 1 -> 2\n"
    shown = json.loads(call("status", path, "--json").output)
    assert [(group["running"], group["dollars_an_hour"]) for group in shown["groups"]] == [(2, 0)]
    file.write_text(file.read_text().replace('"all"', '"other"'))
    assert [row["name"] for row in json.loads(call("create", path, "--json").output)["changes"]] == ["other", "all"]
    assert "nothing of here is left" in call("delete", path, "--yes").output
    assert "there is nothing of here" in call("delete", path, "--yes").output
    assert [group["running"] for group in json.loads(call("status", path, "--json").output)["groups"]] == [0]
