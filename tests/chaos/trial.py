"""One run with faults: it is followed from its start to its end, and then held against the undisturbed one."""

from __future__ import annotations

import html
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import httpx
from chaos.bench import Bench, wait_until

from seuron.client import FINISHED, NoAnswerError
from seuron.cluster.records import ClusterEvent
from seuron.errors import RunError

DAG = "segmentation"
#: What differs between two runs of the same parameters by its nature: paths, clocks, process ids.
OWN_FILES = ("run.json", "report.html", "costs.json", "retries.json", "tasks/", "locks/")
#: Seconds between looks at the records of finished tasks.
LOOK_SECONDS = 0.3
#: A run that has not ended after so long hangs, s.
RUN_SECONDS = 1200.0
#: Machines are gone so long after the run's end, s.
EMPTY_SECONDS = 180.0


class Output(Protocol):
    """Where a run writes."""

    @property
    def path(self) -> str:
        """The run's parameter `output`."""
        ...

    def files(self, below: str = "") -> dict[str, bytes]:
        """The files in a folder or the one of that name, by their names in the output; whole ones only."""
        ...


@dataclass(frozen=True)
class Folder:
    """A folder of this machine."""

    folder: Path

    @property
    def path(self) -> str:
        return str(self.folder)

    def files(self, below: str = "") -> dict[str, bytes]:
        found = {}
        start = self.folder / below
        for file in [start] if start.is_file() else start.rglob("*"):
            if file.is_file() and not file.name.endswith(".partial"):
                with suppress(FileNotFoundError):  # claims come and go
                    found[file.relative_to(self.folder).as_posix()] = file.read_bytes()
        return found


@dataclass(frozen=True)
class Bucket:
    """A run in the object store."""

    bench: Bench
    name: str

    @property
    def path(self) -> str:
        return self.bench.store.url("runs", self.name)

    def files(self, below: str = "") -> dict[str, bytes]:
        found = self.bench.store.below("runs", self.name)
        return {name: content for name, content in found.items() if name.startswith(below)}


def results(output: Output) -> dict[str, bytes]:
    """What a run's parameters decide, by name, without the ending that compressed files have on a file system."""
    kept = ((name, content) for name, content in output.files().items() if not name.startswith(OWN_FILES))
    return {name.removesuffix(".gz"): content for name, content in kept}


@dataclass
class Watch:
    """Looks at the records of finished tasks all the time, in a thread.

    A task may be done twice at once when its worker is taken for dead and is not; it must not be begun
    again once it is finished. `again` are tasks that were.
    """

    output: Output
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    again: dict[str, str] = field(default_factory=dict)
    at_once: set[str] = field(default_factory=set)

    def __enter__(self) -> Self:
        self._over = threading.ClusterEvent()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def look(self) -> None:
        """Compare what is there now with what was."""
        now = {name: json.loads(content) for name, content in self.output.files("tasks/").items() if content}
        for name in self.seen.keys() - now.keys():
            self.again[name] = "its record is gone"
        for name, record in now.items():
            before = self.seen.setdefault(name, record)
            if record != before and record["started"] > before["ended"]:
                self.again[name] = f"ended at {before['ended']}, begun again at {record['started']}"
            elif record != before:
                self.at_once.add(name)
        self.seen.update(now)

    def _run(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self.look()


class Trial:
    """A run that is under way: `with Trial(...) as trial` starts and watches it."""

    def __init__(self, bench: Bench, output: Output, parameters: Mapping[str, Any]) -> None:
        self.bench, self.output, self.parameters = bench, output, parameters
        self.struck, self.seconds = 0, 0.0
        self.watch = Watch(output)
        self.first_event = len(bench.events())
        self.run_id = ""

    def __enter__(self) -> Self:
        self.began = time.monotonic()
        with self.bench.client() as client:
            self.run_id = client.trigger(DAG, {**self.parameters, "output": self.output.path})
        self.watch.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.watch.__exit__(*error)
        if error[0] is not None:  # it must not disturb the next one
            with suppress(httpx.HTTPError, RunError), self.bench.client() as client:
                client.cancel(DAG, self.run_id)

    def after(self, finished: int, seconds: float = 900.0) -> None:
        """Wait until so many tasks have ended."""
        wait_until(lambda: len(self.watch.seen) >= finished, seconds, f"{finished} tasks finished")

    def strike(self, blow: Callable[[], object]) -> None:
        """Do harm, and count it."""
        blow()
        self.struck += 1

    def ended(self) -> bool:
        """Whether the run has ended; an Airflow that does not answer does not say so."""
        try:
            with self.bench.client() as client:
                return client.run_state(DAG, self.run_id) in FINISHED
        except (httpx.TransportError, NoAnswerError):
            return False

    def wait(self, seconds: float = RUN_SECONDS) -> str:
        """Airflow's word for how the run ended."""
        with self.bench.client() as client:
            state = client.wait(DAG, self.run_id, seconds=seconds)
            self.seconds = time.monotonic() - self.began
            return state

    def why(self) -> str:
        """Why the run's tasks failed, for messages."""
        with self.bench.client() as client:
            return "\n".join(str(error) for error in client.task_errors(DAG, self.run_id))

    def tried_again(self) -> int:
        """Tries of tasks beyond their first."""
        with self.bench.client() as client:
            return sum(max(0, task.try_number - 1) for task in client.task_instances(DAG, self.run_id))

    def events(self) -> list[ClusterEvent]:
        """What the scaling wrote down since the run began."""
        return self.bench.events()[self.first_event :]

    def told(self) -> str:
        """All of that as text."""
        parts = [(*event.reasons, *event.lost, *event.problems) for event in self.events()]
        return "\n".join(line for part in parts for line in part)

    def expect_reported(self, pattern: str) -> None:
        """The run's own report says what happened: its text, behind its heading for that, has the pattern."""
        page = html.unescape(self.output.files("report.html")["report.html"].decode())
        _, heading, happened = page.partition("<h2>What happened</h2>")
        assert heading, "the report has nothing that happened"
        assert re.search(pattern, happened), f"{pattern!r} is not in the report: {happened[:3000]}"

    def expect_same(self, reference: Mapping[str, bytes]) -> None:
        """The run ended well, by itself, to the same bytes, and did nothing again that had been finished."""
        assert self.wait() == "success", self.why()
        self.watch.look()
        assert self.watch.again == {}
        found = results(self.output)
        assert found.keys() == reference.keys()
        assert [name for name, content in found.items() if content != reference[name]] == []

    def expect_nothing_left(self) -> None:
        """No machine, no process of a worker, and no size that would bring one back."""
        bench = self.bench
        wait_until(lambda: not bench.instances(), EMPTY_SECONDS, "no machine left")
        assert set(bench.targets().values()) == {0}
        wait_until(lambda: not bench.worker_processes(), 20, "no worker's process left")
