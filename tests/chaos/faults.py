"""What is done to a run, and when. Each fault strikes in the middle of the work and then leaves the run alone."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from chaos.bench import SPOT, Bench, wait_until
from chaos.trial import Trial

#: Seconds between two kills of workers.
PAUSE = 2.0
#: How long the disk stays full, s: longer than the first waits of a task that is tried again.
FULL_SECONDS = 25.0
#: What each request of a slow object store waits, s, and of how many one is refused.
SLOW_SECONDS, REFUSED_EACH = 0.15, 40


def kill_workers(trial: Trial, kills: int, seed: int = 0) -> None:
    """SIGKILL at random moments to workers that are up: one in four is a whole machine, the others one process."""
    chance, bench = random.Random(seed), trial.bench
    while trial.struck < kills and not trial.ended():
        if names := bench.at_work():
            name = chance.choice(names)
            processes = bench.worker_processes(name)
            if chance.random() < 0.25:
                trial.strike(lambda: bench.lose(name))  # noqa: B023  done at once
            elif processes:
                _kill(chance.choice(processes), trial)
        time.sleep(chance.uniform(0.5, 1.5) * PAUSE)


def _kill(process: psutil.Process, trial: Trial) -> None:
    with suppress(psutil.NoSuchProcess):
        trial.strike(process.kill)


def kill_service(trial: Trial, service: str, at: tuple[int, ...]) -> None:
    """SIGKILL for all processes of a service once each of these counts of tasks is finished."""
    for finished in at:
        trial.after(finished)
        trial.strike(lambda: trial.bench.kill(service))
        time.sleep(1)


def cut_power(trial: Trial, at: int) -> None:
    """Everything is killed at once; after a while somebody starts the deployment again, and does nothing else."""
    trial.after(at)
    trial.strike(trial.bench.cut_power)
    time.sleep(3)
    trial.bench.up()


def hold_stock(bench: Bench) -> None:
    """The zone of the cheap machines has none."""
    bench.engine.service.faults.no_stock.add(SPOT)


def hang_resizes(bench: Bench, seconds: float, times: int) -> None:
    """Answers to resizes come too late: for every other one it was not even heard."""
    hangs = bench.engine.service.faults.hangs
    hangs.extend([["POST .*/resize", seconds, 1, bool(number % 2)] for number in range(times)])


def struck_by_hangs(bench: Bench, times: int) -> int:
    """How many resizes have hung."""
    hangs = bench.engine.service.faults.hangs
    return times - sum(int(hang[2]) for hang in hangs)


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """A file system of its own at `folder`; raises PermissionError where this user may not mount one."""
    folder.mkdir(parents=True)
    options = f"size={mebibytes}m"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "bench", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        raise PermissionError(f"cannot mount a file system: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill_disk(trial: Trial, folder: Path, at: int) -> None:
    """The disk that the run writes to is full for a while."""
    trial.after(at)
    ballast = folder / "ballast"

    def fill() -> None:
        # Without a buffer, which would be written when the file is closed.
        with suppress(OSError), ballast.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(2**16))

    trial.strike(fill)
    deadline = time.monotonic() + FULL_SECONDS
    while time.monotonic() < deadline:
        fill()  # what tasks gave back when they failed must not be taken for room
        time.sleep(0.2)
    ballast.unlink()


def slow_store(bench: Bench) -> None:
    """Each request waits, and some are refused."""
    bench.store.delay, bench.store.refuse_each = SLOW_SECONDS, REFUSED_EACH


def cancel(trial: Trial, at: int) -> None:
    """The user has had enough."""
    from chaos.trial import DAG

    trial.after(at)
    with trial.bench.client() as client:
        trial.strike(lambda: client.cancel(DAG, trial.run_id))
    wait_until(trial.ended, 30, "the run is cancelled")
