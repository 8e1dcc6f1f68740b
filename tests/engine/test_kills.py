"""SIGKILL at random moments of the parent, of one worker, or of all: the same bytes, and nobody is left."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from runs_on_disk import bytes_of, parameters, save, smooth_affinities

from seuron.engine.local import run_local
from seuron.storage import Storage

SCRIPT = (
    "import json, sys; from seuron.engine.local import run_local; from seuron.params import parse_parameters; "
    "from seuron.pipelines.segmentation.params import SegmentationParams; "
    "run_local(parse_parameters(SegmentationParams, json.loads(sys.argv[1])), workers=2)"
)
CHANGES = {"chunk_size": (20, 20, 20), "batch_chunks": 1}
#: Seconds within which what a killed process has started must be gone.
GONE_SECONDS = 10.0
#: Seconds within which a run of which a worker was killed has ended: far more than it takes on a busy machine.
END_SECONDS = 300.0


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save(tmp_path_factory.mktemp("input") / "affinities", smooth_affinities((32, 20, 20)))


@pytest.fixture(scope="module")
def reference(source: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("reference")
    run_local(parameters(source, folder, **CHANGES))
    return bytes_of(folder)


class KilledRun:
    """A run with two workers in a session of its own, by which all that it has started is found."""

    def __init__(self, source: str, folder: Path) -> None:
        self.folder = folder
        text = json.dumps(parameters(source, folder, **CHANGES).model_dump(mode="json", exclude_none=True))
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, text], start_new_session=True, stderr=subprocess.DEVNULL
        )

    def living(self) -> list[psutil.Process]:
        """The processes of the run's session that have not ended."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            try:
                if os.getsid(process.pid) == self.process.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (ProcessLookupError, psutil.NoSuchProcess):
                continue
        return found

    def wait_for_work(self, records: int, seconds: float) -> bool:
        """Wait until so many more tasks are done, and so long; False when the run has ended before."""
        wanted = len(Storage(str(self.folder)).names("tasks/")) + records
        while len(Storage(str(self.folder)).names("tasks/")) < wanted and self.process.poll() is None:
            time.sleep(0.005)
        time.sleep(seconds)
        return self.process.poll() is None

    def kill(self, whom: str, chance: random.Random) -> None:
        """SIGKILL; of one worker the run itself has to end."""
        # Not multiprocessing's resource tracker: without that one a run goes on to its end.
        workers = [process for process in self.living() if "spawn_main" in " ".join(process.info["cmdline"] or [])]
        if whom == "all":
            os.killpg(self.process.pid, signal.SIGKILL)
        elif whom == "worker" and workers:
            chance.choice(sorted(workers, key=lambda process: process.pid)).kill()
        else:
            self.process.kill()
        self.process.wait(END_SECONDS)
        deadline = time.monotonic() + GONE_SECONDS
        while left := self.living():
            assert time.monotonic() < deadline, f"after a kill of {whom} there is still {left}"
            time.sleep(0.05)


def kill_and_resume(source: str, reference: dict[str, str], folder: Path, kills: int, seed: int) -> Counter[str]:
    """Kill runs until there were so many kills, each run resumed until it ends; returns whom they struck."""
    chance, struck, number = random.Random(seed), Counter[str](), 0
    while struck.total() < kills:
        run = KilledRun(source, folder / str(number))
        if not run.wait_for_work(chance.randrange(4), chance.uniform(0, 0.3)):
            assert run.process.returncode == 0, "a resumed run failed"
            assert bytes_of(run.folder) == reference
            number += 1
            continue
        whom = ("parent", "worker", "all")[struck.total() % 3]
        run.kill(whom, chance)
        struck[whom] += 1
        print(f"kill {struck.total()}: {whom}, {len(Storage(str(run.folder)).names('tasks/'))} tasks done", flush=True)
    run_local(parameters(source, folder / str(number), **CHANGES))
    assert bytes_of(folder / str(number)) == reference
    return struck


def test_kills_leave_nobody_and_change_nothing(source: str, reference: dict[str, str], tmp_path: Path) -> None:
    """Workers of a killed `run --local` went on for ever, each with the memory of a task."""
    assert kill_and_resume(source, reference, tmp_path, kills=3, seed=1) == {"parent": 1, "worker": 1, "all": 1}


@pytest.mark.long
def test_two_hundred_kills(source: str, reference: dict[str, str], tmp_path: Path) -> None:
    """What happens once in a hundred kills: a half-written file, a lock that stays, an orphan."""
    kills, began = int(os.environ.get("SEURON_TEST_KILLS", "200")), time.monotonic()
    struck = kill_and_resume(source, reference, tmp_path, kills=kills, seed=2)
    assert struck.total() == kills
    runs, seconds = len(list(tmp_path.iterdir())), time.monotonic() - began
    whom = ", ".join(f"{number} of {name}" for name, number in sorted(struck.items()))
    # Every kill is followed by a start of the same run, which has to go on or to end with the same bytes.
    print(f"{kills} kills ({whom}), {kills} resumes, {runs} runs with the same bytes, {seconds:.0f} s")
