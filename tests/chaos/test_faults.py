"""Runs on a cluster while something goes wrong: they end by themselves, with the same bytes, and leave nothing over.

After each fault the run ends well without anybody's help, its bytes are those of a run without Airflow,
nothing that had been finished was begun again, no machine and no worker's process is left, and the run's
report says what happened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from chaos.bench import SPOT, SURE, Bench, wait_until
from chaos.faults import (
    cancel,
    cut_power,
    fill_disk,
    hang_resizes,
    hold_stock,
    kill_service,
    kill_workers,
    slow_store,
    small_disk,
    struck_by_hangs,
)
from chaos.trial import DAG, Bucket, Folder, Trial

Note = Callable[[str, Trial, str], None]
Bytes = Mapping[str, bytes]

#: How often workers are killed, and how many resizes hang for how long (a client waits 30 s for an answer).
KILLS = 20
HANGS, HANG_SECONDS = 2, 35.0
#: Room for the run's files with some to spare, MiB.
DISK = 64
SAME = "same bytes"


@pytest.fixture
def output(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "run")


@pytest.mark.chaos
def test_nothing_happens(
    healthy: Bench, parameters: dict[str, Any], output: Folder, reference: Bytes, note: Note
) -> None:
    """The run that the others are compared with, on a cluster that begins at nothing."""
    with Trial(healthy, output, parameters) as trial:
        trial.expect_same(reference)
    note("none", trial, SAME)
    trial.expect_nothing_left()


@pytest.mark.chaos
def test_workers_killed_all_the_time(
    healthy: Bench, parameters: dict[str, Any], output: Folder, reference: Bytes, note: Note
) -> None:
    """Machines vanish and processes are killed, at least twenty times, and the scaling notices lost machines."""
    with Trial(healthy, output, parameters) as trial:
        kill_workers(trial, KILLS)
        trial.expect_same(reference)
    assert trial.struck >= KILLS
    assert "(spot)" in trial.told()
    trial.expect_reported(r"\(spot\) is gone and was not asked to go")
    trial.expect_nothing_left()
    note("workers killed at random", trial, SAME)


@pytest.mark.chaos
@pytest.mark.parametrize("service", ["scheduler", "redis", "postgres"])
def test_a_service_killed(
    healthy: Bench,
    parameters: dict[str, Any],
    output: Folder,
    reference: Bytes,
    note: Note,
    service: str,
) -> None:
    """The service is killed three times while tasks run; the supervisor starts it again, and the run goes on."""
    with Trial(healthy, output, parameters) as trial:
        kill_service(trial, service, at=(1, 10, 20))
        trial.expect_same(reference)
    trial.expect_reported(f"{service} ended by signal 9 and is started again")
    trial.expect_nothing_left()
    note(f"{service} killed", trial, SAME)


@pytest.mark.chaos
def test_a_zone_without_stock(
    healthy: Bench, parameters: dict[str, Any], output: Folder, reference: Bytes, note: Note
) -> None:
    """The cheap machines are sold out: those of the other zone do the work, and the events say why."""
    hold_stock(healthy)
    with Trial(healthy, output, parameters) as trial:
        trial.strike(lambda: wait_until(lambda: healthy.shortages(SPOT), 300, "no stock"))
        wait_until(lambda: healthy.targets()[SURE] > 0, 300, "the other zone steps in")
        trial.expect_same(reference)
    assert re.search(r"spot is passed over for \d+ s: no stock", trial.told())
    trial.expect_reported("no stock")
    trial.expect_nothing_left()
    note("a zone without stock", trial, SAME)


@pytest.mark.chaos
def test_resizes_that_time_out(
    healthy: Bench, parameters: dict[str, Any], output: Folder, reference: Bytes, note: Note
) -> None:
    """The provider is silent for longer than the client waits, whether it heard the request or not."""
    hang_resizes(healthy, HANG_SECONDS, HANGS)
    with Trial(healthy, output, parameters) as trial:
        trial.expect_same(reference)
    trial.struck = struck_by_hangs(healthy, HANGS)
    assert trial.struck
    trial.expect_reported(r"resizing \w+ to \d+ took \d+ s, as answers came late")
    trial.expect_nothing_left()
    note("resizes time out", trial, SAME)


@pytest.mark.chaos
def test_a_slow_object_store(healthy: Bench, parameters: dict[str, Any], reference: Bytes, note: Note) -> None:
    """The run writes to an object store whose every request waits and which refuses some."""
    slow_store(healthy)
    requests = healthy.store.requests
    with Trial(healthy, Bucket(healthy, "slow"), parameters) as trial:
        trial.expect_same(reference)
    trial.struck = healthy.store.requests - requests
    assert healthy.store.refused > 0
    trial.expect_reported(r"Tasks waited for [\d.]+\s*% of their time: for the storage")
    trial.expect_nothing_left()
    note("slow object store", trial, SAME)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own, where this user may mount one."""
    with ExitStack() as stack:
        try:
            made = stack.enter_context(small_disk(tmp_path / "disk", DISK))
        except PermissionError as error:
            pytest.skip(str(error))
        yield made


@pytest.mark.chaos
def test_a_full_disk(healthy: Bench, parameters: dict[str, Any], disk: Path, reference: Bytes, note: Note) -> None:
    """The run's disk is full for a while: tasks fail and are tried again until there is room."""
    with Trial(healthy, Folder(disk / "run"), parameters) as trial:
        fill_disk(trial, disk, at=5)
        trial.expect_same(reference)
    assert trial.tried_again() > 0
    trial.expect_reported("No space left on device")
    trial.expect_nothing_left()
    note("full disk", trial, SAME)


@pytest.mark.chaos
def test_a_power_cut(healthy: Bench, parameters: dict[str, Any], output: Folder, reference: Bytes, note: Note) -> None:
    """Everything is killed at once. `seuron up` is all that it takes: the run goes on where it was."""
    with Trial(healthy, output, parameters) as trial:
        cut_power(trial, at=12)
        trial.expect_same(reference)
    trial.expect_reported("the deployment was started")
    trial.expect_nothing_left()
    note("all killed (power cut)", trial, SAME)


@pytest.mark.chaos
def test_a_cancelled_run(
    healthy: Bench, parameters: dict[str, Any], output: Folder, reference: Bytes, note: Note
) -> None:
    """The run is cancelled: its machines go, what was finished stays, and the next start does only the rest."""
    with Trial(healthy, output, parameters) as trial:
        cancel(trial, at=12)
        assert trial.wait() == "failed"
        trial.expect_nothing_left()
        trial.watch.look()
        kept = len(trial.watch.seen)
    note("run cancelled", trial, f"no machine left, {kept} tasks kept")
    again = Trial(healthy, output, parameters)
    again.watch = trial.watch
    with again:
        again.expect_same(reference)
    again.expect_reported("The run was started 2 times")
    again.expect_nothing_left()
    with healthy.client() as client:
        assert client.run_state(DAG, trial.run_id) == "failed"
