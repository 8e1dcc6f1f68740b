"""What every driver must do, whoever makes the machines: one model, and each driver held against it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from clusters import connection, google_cluster, wait_for
from compute_engine.server import ComputeEngine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from profiles import scaled

from seuron.cluster.google.driver import GoogleDriver
from seuron.cluster.google.layout import desired_resources
from seuron.cluster.google.resources import GoogleResources
from seuron.cluster.groups import Driver
from seuron.cluster.processes.driver import ProcessDriver
from seuron.cluster.resource_plan import plan_changes

#: Grow by so many, or delete so many instances together with a name that nobody has.
STEPS = st.lists(st.tuples(st.sampled_from(["grow", "delete"]), st.integers(0, 3)), min_size=1, max_size=5)


@contextmanager
def google() -> Iterator[Driver]:
    with ComputeEngine() as engine, connection(engine.url) as client:
        GoogleResources(client, "tissue").apply(plan_changes(desired_resources(google_cluster()), ()))
        yield GoogleDriver(client, "tissue", {"spot": "us-east1-b"})


@contextmanager
def processes() -> Iterator[Driver]:
    with tempfile.TemporaryDirectory() as folder:
        driver = ProcessDriver(Path(folder), ["spot"], lambda group, name: ["sleep", "600"], stop_seconds=5.0)
        try:
            yield driver
        finally:
            driver.kill(["spot"])


def wanted(driver: Driver) -> set[str]:
    return {item.name for item in driver.instances("spot") if item.state != "stopping"}


def at_work(driver: Driver, count: int) -> bool:
    """Whether there are so many instances, all running."""
    return [item.state for item in driver.instances("spot")] == ["running"] * count


@pytest.mark.parametrize("provider", [google, processes])
@settings(max_examples=scaled(5), suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_size_follows_what_was_asked(provider: type, steps: list[tuple[str, int]]) -> None:
    """The target is what was asked for, the instances come to it, those deleted go and the others stay."""
    with provider() as driver:
        size = 0
        for action, count in steps:
            before = wanted(driver)
            if action == "grow":
                size += count
                driver.resize("spot", size)
            else:
                gone = sorted(before)[:count]
                size -= len(gone)
                driver.delete("spot", [*gone, "nobody"])
                before -= set(gone)
                assert not wanted(driver) & set(gone)
            assert driver.target("spot") == size
            wait_for(lambda size=size: at_work(driver, size))
            assert before <= wanted(driver)
            assert all(item.group == "spot" for item in driver.instances("spot"))
            assert not driver.shortages("spot")
