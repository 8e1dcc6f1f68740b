"""Worker processes of this machine as a `Driver`: the way to use all its cores, and to test a cluster.

An instance is a process in a session of its own. What is asked for and what was started is written in
a folder, so that every process that looks there sees, and takes care of, the same instances.
Nothing runs in the background: `instances` is what looks after a group. It ends what was asked to end
too long ago, forgets what is gone, and starts what the target lacks, under new names. A worker that
ends within `EARLY_SECONDS` is shown as a shortage, and its group rests for `PAUSE_SECONDS`.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from pydantic import TypeAdapter

from seuron.cluster.config import Cluster
from seuron.cluster.groups import Instance, Shortage
from seuron.cluster.resource_plan import Change, Found, Resource, plan_changes, plan_removal
from seuron.errors import ComputeError

#: Command of an instance, of its group's name and its own.
InstanceCommand = Callable[[str, str], Sequence[str]]
#: A worker that ends sooner than this did not come up, and its group waits so long before the next try.
EARLY_SECONDS, PAUSE_SECONDS = 10.0, 10.0
#: Environment variables of an instance: its name, and the folder that knows it.
INSTANCE_VARIABLE, FOLDER_VARIABLE = "SEURON_INSTANCE", "SEURON_MACHINES"
_MOST_SHORTAGES = 100
#: Of whoever asks for an instance, which may be a task of Airflow in a worker of Celery: not for a new worker.
_OF_TASKS = ("_AIRFLOW", "AIRFLOW_CTX_", "CELERY_", "_MP_", "FORKED_BY_MULTIPROCESSING")
#: A killed process may be held by the kernel (a dead file server); no look waits longer for one.
_KILL_SECONDS = 10.0


@dataclass(frozen=True)
class _Record:
    """A process that was started. `ticks` is the kernel's start time of it: with `pid`, its identity."""

    name: str
    pid: int
    ticks: int
    created: float
    #: When it was asked to end; 0 while it is wanted.
    stopping: float = 0.0


@dataclass(frozen=True)
class _State:
    """What the folder knows of a group."""

    target: int
    instances: tuple[_Record, ...]
    shortages: tuple[Shortage, ...]


_STATE = TypeAdapter(_State)


class ProcessDriver:
    """The groups of one cluster as processes of this machine; see the module's text."""

    def __init__(
        self,
        folder: Path,
        groups: Sequence[str],
        command: InstanceCommand,
        environment: Mapping[str, str] | None = None,
        stop_seconds: float = 30.0,
    ) -> None:
        self._folder = folder
        self._groups = tuple(groups)
        self._command = command
        self._environment = dict(environment or {})
        self._stop_seconds = stop_seconds

    def __repr__(self) -> str:
        return f"ProcessDriver({str(self._folder)!r}, {list(self._groups)})"

    def instances(self, group: str) -> Sequence[Instance]:
        """The group's processes, after looking after them."""
        with self._open(group) as state:
            state = self._maintained(group, state)
            self._write(group, state)
        return [
            Instance(record.name, group, "stopping" if record.stopping else "running", record.created)
            for record in state.instances
        ]

    def target(self, group: str) -> int:
        """The size that was asked for last."""
        with self._open(group) as state:
            return state.target

    def resize(self, group: str, size: int) -> None:
        """Ask for `size` processes, not fewer than there are. They are started at once."""
        with self._open(group) as state:
            if size < sum(not record.stopping for record in state.instances):
                raise ComputeError(
                    f"group {group} cannot be resized from {state.target} to {size}: that would not say which "
                    "instances to end; delete instances by name"
                )
            self._write(group, self._maintained(group, replace(state, target=size)))

    def delete(self, group: str, names: Sequence[str]) -> None:
        """Ask these processes to end (SIGTERM), and lower the target by as many."""
        with self._open(group) as state:
            leaving = {record.name for record in state.instances if record.name in names and not record.stopping}
            now = time.time()
            records = tuple(
                replace(record, stopping=now) if record.name in leaving else record for record in state.instances
            )
            target = max(0, state.target - len(leaving))
            self._write(group, replace(state, target=target, instances=records))
            for record in records:
                if record.name in leaving and _alive(record):
                    # To the worker alone: it sees to its children itself.
                    with suppress(ProcessLookupError):
                        os.kill(record.pid, signal.SIGTERM)

    def shortages(self, group: str) -> Sequence[Shortage]:
        """Workers that did not come up, oldest first."""
        with self._open(group) as state:
            return state.shortages

    def log(self, name: str) -> Path:
        """Where the output of an instance goes."""
        return self._folder / "logs" / f"{name}.log"

    def found(self) -> tuple[str, ...]:
        """The groups that have processes, or should have some: also those that are not in the file any more."""
        found = []
        for file in sorted(self._folder.glob("*.json")):
            with self._open(file.stem, known=False) as state:
                found += [file.stem] if state.target or state.instances else []
        return tuple(found)

    def plan(self, cluster: Cluster) -> tuple[Change, ...]:
        """What makes the groups as the cluster's file says."""
        wanted = [Resource("group", table.name, table.zone, {}, size=table.min_size) for table in cluster.group_tables]
        found = [Found("group", item.name, item.location, item.digest, size=self.target(item.name)) for item in wanted]
        return plan_changes(wanted, [*found, *(item for item in self._running() if item.name not in self._groups)])

    def plan_removal(self) -> tuple[Change, ...]:
        """What ends all processes, those of groups that are not in the file any more too."""
        return plan_removal(self._running())

    def _running(self) -> list[Found]:
        return [Found("group", name, "local", "") for name in self.found()]

    def apply(self, changes: Sequence[Change], on_change: Callable[[str], None]) -> None:
        """Do a plan."""
        for change in changes:
            if change.action != "keep":
                on_change(f"{change.action} group {change.name}")
            if change.action == "resize" and change.resource is not None:
                self.resize(change.name, change.resource.size)
            elif change.action == "delete":
                self.kill([change.name])

    def remove(self, on_change: Callable[[str], None]) -> None:
        """End all processes, and forget the groups."""
        self.apply(self.plan_removal(), on_change)

    def kill(self, groups: Sequence[str]) -> None:
        """Kill every process of these groups, and forget them."""
        for group in groups:
            with self._open(group, known=False) as state:
                for record in state.instances:
                    self._kill(record)
                (self._folder / f"{group}.json").unlink(missing_ok=True)

    def _maintained(self, group: str, state: _State) -> _State:
        now = time.time()
        kept, shortages = [], list(state.shortages)
        for record in state.instances:
            if _alive(record) and (not record.stopping or now < record.stopping + self._stop_seconds):
                kept.append(record)
                continue
            if not record.stopping and now - record.created < EARLY_SECONDS:
                message = f"{record.name} ended after {now - record.created:.1f} s; see {self.log(record.name)}"
                shortages.append(Shortage(group, "other", message, now))
            self._kill(record)
        wanted = state.target - sum(not record.stopping for record in kept)
        resting = bool(shortages) and now < shortages[-1].time + PAUSE_SECONDS
        if not resting:
            kept += [self._start(group) for _ in range(wanted)]
        return _State(state.target, tuple(kept), tuple(shortages[-_MOST_SHORTAGES:]))

    def _start(self, group: str) -> _Record:
        name = f"{group}-{uuid.uuid4().hex[:6]}"
        command = [str(word) for word in self._command(group, name)]
        given = {**os.environ, **self._environment, INSTANCE_VARIABLE: name, FOLDER_VARIABLE: str(self._folder)}
        environment = {key: value for key, value in given.items() if not key.startswith(_OF_TASKS)}
        log = self.log(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        try:
            pid = os.posix_spawnp(command[0], command, environment, file_actions=actions, setsid=True)
        except OSError as error:
            raise ComputeError(f"cannot start {command[0]} for group {group}: {error.strerror}; install it") from error
        return _Record(name, pid, _ticks(pid) or 0, time.time())

    def _kill(self, record: _Record) -> None:
        """End what is left of an instance: its process, and all that inherited its name."""
        if _ticks(record.pid) == record.ticks:
            with suppress(ProcessLookupError):
                os.kill(record.pid, signal.SIGKILL)
            # Reaped where it is our child, else by whoever started it.
            with suppress(ChildProcessError):
                os.waitpid(record.pid, 0)
        # A process may fork between the look and the kill, so look again until none is left.
        deadline = time.monotonic() + _KILL_SECONDS
        while (found := _heirs(record.name, str(self._folder))) and time.monotonic() < deadline:
            for process in found:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.01)

    @contextmanager
    def _open(self, group: str, known: bool = True) -> Iterator[_State]:
        """The group's state, while no other process looks at the folder."""
        if known and group not in self._groups:
            raise ComputeError(f"there is no group {group!r}; the cluster has {', '.join(self._groups)}")
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self._read(group)

    def _read(self, group: str) -> _State:
        try:
            return _STATE.validate_json((self._folder / f"{group}.json").read_bytes())
        except FileNotFoundError:
            return _State(0, (), ())

    def _write(self, group: str, state: _State) -> None:
        new = self._folder / f"{group}.json.new"
        new.write_bytes(_STATE.dump_json(state, indent=1))
        new.replace(self._folder / f"{group}.json")


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command's name; nothing when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _ticks(pid: int) -> int | None:
    """The kernel's start time of a process, in clock ticks since the machine's start."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def _alive(record: _Record) -> bool:
    """Whether the very process runs: another with its number does not count, nor one that is dead and unread."""
    fields = _stat(record.pid)
    return bool(fields) and int(fields[19]) == record.ticks and fields[0] not in "ZX"


def _heirs(name: str, folder: str) -> list[int]:
    """The living processes that inherited an instance's name from its worker."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            environment = process.environ()
            if environment.get(INSTANCE_VARIABLE) == name and environment.get(FOLDER_VARIABLE) == folder:
                found.append(process.pid)
    return found
