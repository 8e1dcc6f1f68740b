"""Whether a start still advances: told by real small processes and their logs, never by how long it takes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from seuron.deployment.environment import HOME_MARK, SERVICE_MARK
from seuron.deployment.steps import CpuMeter, StalledError, Step, StepStatus, StepWatch, log_bytes, log_tail, log_tails

STEP = Step("making the tables", ("tables",))
UNREADY = {"api-server": "no answer"}
SLEEPS = "import time; time.sleep(60)"
SPINS = "while True: pass"
#: Says something now and then, and uses hardly any processor time.
WRITES = "import time\nwhile True: print('one more', flush=True); time.sleep(0.1)"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Runs a program as the step's service: with the marks of a deployment, and its log."""
    made: list[subprocess.Popen[bytes]] = []

    def start(program: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, HOME_MARK: str(tmp_path), SERVICE_MARK: "tables"}
        with (tmp_path / "tables.log").open("ab") as log:
            made.append(subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=log))
        return made[-1]

    yield start
    for process in made:
        process.kill()
        process.wait()


def watch_for(seconds: float, folder: Path, watch: StepWatch) -> None:
    """StepStatus at the step again and again, as a start does, for so long at least."""
    meter, end = CpuMeter(folder), time.monotonic() + seconds
    while time.monotonic() < end:
        watch.check(StepStatus(STEP, UNREADY, log_bytes(folder, STEP.services), meter.read(STEP.services)))
        time.sleep(0.05)


def test_a_step_that_sleeps_is_stalled(tmp_path, start):
    """It lives, but uses no processor and writes nothing: waiting on would be for ever."""
    start(SLEEPS)
    time.sleep(1.0)  # until it sleeps
    with pytest.raises(StalledError, match=r"making the tables: for .* no processor time"):
        watch_for(20, tmp_path, StepWatch(stalled_seconds=1.0))


@pytest.mark.parametrize("program", [SPINS, WRITES])
def test_a_step_that_computes_or_writes_advances(tmp_path, start, program):
    """Several times as long as it might do nothing."""
    start(program)
    watch_for(6.0, tmp_path, StepWatch(stalled_seconds=2.0))


def test_a_step_that_goes_round_in_circles_ends_by_its_processor_time(tmp_path, start):
    """That does not depend on how busy the machine is."""
    start(SPINS)
    with pytest.raises(StalledError, match="processor time and it is still not done"):
        watch_for(60, tmp_path, StepWatch(most_cpu_seconds=0.5))


def test_what_changes_begins_a_new_count():
    """Another step, or something that became ready, is an advance by itself, and has its own processor time."""
    clock = iter(range(0, 100_000, 50))
    watch = StepWatch(stalled_seconds=60, most_cpu_seconds=100, clock=lambda: float(next(clock)))
    status = StepStatus(STEP, {"a": "no answer", "b": "no answer"}, 0, 0.0)
    for changed in (
        status,
        replace(status, step=Step("the next", ("next",)), cpu_seconds=90.0),
        replace(status, unready={"b": "no answer"}, cpu_seconds=180.0),
        replace(status, unready={"b": "starting"}, cpu_seconds=270.0),
    ):
        watch.check(changed)  # 50 s later each, which is less than the limit
        watch.check(changed) if changed is status else None
    with pytest.raises(StalledError):
        watch.check(replace(status, unready={"b": "starting"}, cpu_seconds=371.0))


def test_little_processor_time_adds_up():
    """A process that gets a thousandth of a core on a busy machine still advances."""
    now = [0.0]
    watch = StepWatch(stalled_seconds=60, clock=lambda: now[0])
    for number in range(100):
        now[0] += 2.0
        watch.check(StepStatus(STEP, UNREADY, 0, 0.002 * number))
    now[0] += 30.0
    watch.check(StepStatus(STEP, UNREADY, 0, 0.198))
    now[0] += 60.0
    with pytest.raises(StalledError):
        watch.check(StepStatus(STEP, UNREADY, 0, 0.198))


def test_the_meter_counts_processes_that_have_ended(tmp_path, start):
    """A service that dies and comes back does not make the sum smaller."""
    meter = CpuMeter(tmp_path)
    first = start(SPINS)
    deadline = time.monotonic() + 60
    while meter.read(STEP.services) < 0.3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    used = meter.read(STEP.services)
    first.kill()
    first.wait()
    assert meter.read(STEP.services) == used
    start(SPINS)
    while meter.read(STEP.services) < used + 0.2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert meter.read(("another",)) == meter.read(())


def test_tails_of_logs_name_the_service(tmp_path):
    """The last lines of each log that there is, for messages."""
    (tmp_path / "one.log").write_text("".join(f"line {number}\n" for number in range(40)))
    assert log_tail(tmp_path, "one", 2) == "line 38\nline 39"
    assert log_tails(tmp_path, ("one", "none"), 1) == "one.log ends:\nline 39"
    assert log_bytes(tmp_path, ("one", "none")) == (tmp_path / "one.log").stat().st_size


def test_a_step_is_read_as_it_was_written():
    """And a supervisor that has said nothing yet is starting itself."""
    assert Step.from_json(STEP.to_json()) == STEP
    assert Step.from_json(None).services == ("supervisor",)
