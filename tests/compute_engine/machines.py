"""What a stand-in's machines do: nothing but being counted, or running the worker's command as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol


class Machines(Protocol):
    """What happens on the machines that the stand-in makes. Calls come from one thread at a time."""

    def start(self, instance: str, metadata: Mapping[str, str]) -> None:
        """The machine has booted, with the metadata of its template."""
        ...

    def notify(self, instance: str) -> None:
        """The machine is being shut down in good order: its shutdown script runs."""
        ...

    def stop(self, instance: str) -> None:
        """The machine is gone at once."""
        ...

    def ended(self, instance: str) -> bool:
        """Whether its worker has ended, after which the machine removes itself."""
        ...


class CountedMachines:
    """Machines that do nothing. `running` has the metadata of each by name; tests add names to `over`."""

    def __init__(self) -> None:
        self.running: dict[str, Mapping[str, str]] = {}
        self.started: list[str] = []
        self.over: set[str] = set()

    def start(self, instance: str, metadata: Mapping[str, str]) -> None:
        self.running[instance] = metadata
        self.started.append(instance)

    def notify(self, instance: str) -> None:
        pass

    def stop(self, instance: str) -> None:
        self.running.pop(instance, None)

    def ended(self, instance: str) -> bool:
        return instance in self.over


class ProcessMachines:
    """Machines that run the command of their template's metadata here, each in a process group of its own.

    `prefix` goes before the command, for example a Python that has `seuron` as a module instead of
    the command; `environment` is added to that of the metadata. Output goes to `folder`/INSTANCE.log.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str] | None = None, replace: Mapping[str, list[str]] | None = None
    ) -> None:
        self.folder = folder
        self.environment = dict(environment or {})
        #: First words of commands that stand for others: {"seuron": [sys.executable, "-m", "seuron.cli"]}.
        self.replace = dict(replace or {})
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, instance: str, metadata: Mapping[str, str]) -> None:
        words = [word.replace("{instance}", instance) for word in json.loads(metadata.get("seuron-command", "[]"))]
        if not words:
            return  # a manager with a script of its own
        command = [*self.replace.get(words[0], words[:1]), *words[1:]]
        environment = {**os.environ, **json.loads(metadata.get("seuron-environment", "{}")), **self.environment}
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{instance}.log").open("ab") as log:
            self.processes[instance] = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def notify(self, instance: str) -> None:
        self._signal(instance, signal.SIGTERM)

    def stop(self, instance: str) -> None:
        self._signal(instance, signal.SIGKILL)
        if (process := self.processes.pop(instance, None)) is not None:
            process.wait()

    def ended(self, instance: str) -> bool:
        process = self.processes.get(instance)
        return process is not None and process.poll() is not None

    def pid(self, instance: str) -> int:
        """The process of an instance, which leads its group."""
        return self.processes[instance].pid

    def stop_all(self) -> None:
        """Nothing is left over."""
        for instance in list(self.processes):
            self.stop(instance)

    def _signal(self, instance: str, number: signal.Signals) -> None:
        if (process := self.processes.get(instance)) is not None:
            # To the whole group: a worker has children, and a machine that goes takes them along.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
