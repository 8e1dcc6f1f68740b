"""A finished run on this machine, and a conversation about it, with one command more that takes its time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from counting import Counting
from small_runs import blobs, make_run, smooth, store

from seuron.client import DeploymentClient
from seuron.commands import registry
from seuron.engine.run import Run

#: Nothing listens there: what needs Airflow says so, and what needs a run's folder only works.
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that has been done without Airflow, with ground truth."""
    folder = tmp_path_factory.mktemp("bot")
    affinities = store(folder / "affinities", smooth((24, 20, 16), 1))
    truth = store(folder / "truth", blobs((24, 20, 16), 2))
    return make_run(folder / "first", affinities, truth)


@pytest.fixture(scope="session")
def deployment() -> DeploymentClient:
    """One that does not answer."""
    return DeploymentClient(NOWHERE)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counting]:
    """A command of the registry for the length of a test."""
    registry.commands()
    made = Counting()
    monkeypatch.setattr(registry, "_COMMANDS", dict(registry._COMMANDS))
    registry.add(registry.Command("count", ("count to",), "run", "Tests", made.count))
    yield made
    for _ in range(1000):
        made.go_on.release()
