"""docker-compose.yml as data, and its services started natively: the same commands, other addresses."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::-([^}]*))?\}")


def read_compose(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The file with its variables filled in: as given, else their defaults."""
    text = (ROOT / "docker-compose.yml").read_text()
    given = variables or {}
    filled = _VARIABLE.sub(lambda match: given.get(match[1], match[2] or ""), text)
    parsed: dict[str, Any] = yaml.safe_load(filled)
    return parsed


def read_with_cluster(variables: Mapping[str, str]) -> dict[str, Any]:
    """docker-compose.yml with docker-compose.cluster.yml over it, put together by docker-compose itself."""
    files = [word for name in ("docker-compose.yml", "docker-compose.cluster.yml") for word in ("--file", name)]
    done = subprocess.run(
        ["docker-compose", *files, "config"],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    parsed: dict[str, Any] = yaml.safe_load(done.stdout)
    return parsed


def make_secrets(folder: Path) -> None:
    """What `make secrets` does."""
    subprocess.run(["sh", str(ROOT / "docker" / "make-secrets.sh"), str(folder)], check=True, capture_output=True)


def postgres_programs() -> Path | None:
    """Debian's PostgreSQL."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Native:
    """The services of the file as processes of this machine, in a folder that stands for all volumes."""

    folder: Path
    compose: dict[str, Any]
    ports: dict[str, int] = field(
        default_factory=lambda: {name: free_port() for name in ("postgres", "redis", "api-server", "statsd-exporter")}
    )
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("airflow", "secrets", "programs", "redis", "logs"):
            (self.folder / name).mkdir()
        make_secrets(self.folder / "secrets")
        for path in (self.folder / "secrets").iterdir():
            path.chmod(0o600)
            path.write_text(self.translate(path.read_text()))
        with (self.folder / "secrets" / "redis.conf").open("a") as file:
            file.write(f"bind 127.0.0.1\nport {self.ports['redis']}\n")
        # The image has it as a program of its environment.
        program = self.folder / "programs" / "seuron"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m seuron.cli "$@"\n')
        program.chmod(0o755)

    def translate(self, text: str) -> str:
        """Paths and addresses of containers as those of this machine; the rest stays."""
        for service in ("postgres", "redis", "api-server"):
            text = re.sub(rf"\b{service}:\d+", f"127.0.0.1:{self.ports[service]}", text)
        text = text.replace("127.0.0.1:8080", f"127.0.0.1:{self.ports['api-server']}")
        for inside, outside in (
            ("/run/secrets", "secrets"),
            ("/run/cluster.toml", "cluster.toml"),
            ("/opt/airflow", "airflow"),
        ):
            text = text.replace(inside, str(self.folder / outside))
        text = text.replace("/app", str(ROOT)).replace("dir /data", f"dir {self.folder / 'redis'}")
        return text.replace("$$", "$")

    def environment(self, service: str) -> dict[str, str]:
        """The service's own, and of this machine what the image would bring along."""
        named = {
            key: self.translate(str(value))
            for key, value in self.compose["services"][service].get("environment", {}).items()
        }
        ports = {
            "AIRFLOW__API__PORT": str(self.ports["api-server"]),
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            # A small run's tasks wait for moments, which are to be seen.
            "AIRFLOW__SCHEDULER__TI_METRICS_INTERVAL": "0.5",
            "AIRFLOW__METRICS__STATSD_PORT": str(self.ports["statsd-exporter"]),
        }
        outside = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW_", "SEURON_"))}
        path = os.pathsep.join([str(self.folder / "programs"), str(Path(sys.executable).parent), outside["PATH"]])
        return outside | named | {key: value for key, value in ports.items() if key in named} | {"PATH": path}

    def command(self, service: str) -> list[str]:
        command = [self.translate(str(word)) for word in self.compose["services"][service]["command"]]
        if command[:2] == ["seuron", "worker"]:  # in a container the host's name tells workers apart
            command += ["--name", service]
        return command

    def start(self, service: str) -> None:
        """Start a service in the background."""
        command = self.command(service)
        options: dict[str, Any] = {}
        if service == "postgres":
            command, options = self._postgres(command)
        with (self.folder / "logs" / f"{service}.log").open("wb") as log:
            self.processes[service] = subprocess.Popen(
                command,
                env=self.environment(service),
                cwd=self.folder / "airflow",
                stdout=log,
                stderr=log,
                start_new_session=True,
                **options,
            )

    def run(self, service: str) -> subprocess.CompletedProcess[str]:
        """Run a service to its end."""
        return self._call(service, self.command(service))

    def healthy(self, service: str) -> bool:
        """What the service's own health check says."""
        kind, *test = self.compose["services"][service]["healthcheck"]["test"]
        words = [self.translate(word).replace('"$(hostname)"', service) for word in test]
        if service == "redis":
            words = [words[0].replace("redis-cli", f"redis-cli -p {self.ports['redis']}")]
        if service == "postgres":
            words += ["--host", "127.0.0.1", "--port", str(self.ports["postgres"])]
        return self._call(service, words if kind == "CMD" else ["sh", "-c", *words]).returncode == 0

    def bring_up(self, *workers: str) -> None:
        """All services of Airflow in the order of the file's dependencies, and these workers."""
        for name in ("postgres", "redis"):
            self.start(name)
            self.wait_until(lambda name=name: self.healthy(name), 240)  # type: ignore[misc]
        done = self.run("init")
        assert done.returncode == 0, done.stderr[-3000:]
        for name in ("api-server", "scheduler", "dag-processor", "triggerer"):
            self.start(name)
        self.wait_until(lambda: self.healthy("api-server"), 600)
        for name in workers:
            self.start(name)

    def wait_until(self, condition: Callable[[], Any], seconds: float) -> None:
        """Return once the condition holds; fail when it does not in time, or a service has ended."""
        deadline = time.monotonic() + seconds
        while not condition():
            for name, process in self.processes.items():
                assert process.poll() is None, f"{name} ended: {self.log(name)[-3000:]}"
            ends = "\n".join(f"{name}: {self.log(name)[-1500:]}" for name in self.processes)
            assert time.monotonic() < deadline, f"not within {seconds} s\n{ends}"
            time.sleep(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['api-server']}"

    def passwords(self) -> dict[str, str]:
        """Of Airflow's users."""
        found: dict[str, str] = json.loads((self.folder / "secrets" / "passwords.json").read_text())
        return found

    def shown(self) -> list[str]:
        """Which of the secrets can be read in the logs of the services."""
        secrets = {
            path.name: path.read_text()
            for path in (self.folder / "secrets").glob("*")
            if path.name.endswith(("-password", "-secret", "-key"))
        } | self.passwords()
        logs = "".join(self.log(name) for name in self.processes)
        return [name for name, secret in secrets.items() if secret in logs]

    def end(self) -> None:
        """Kill all of them, the last one first, and what they have started."""
        for process in reversed(list(self.processes.values())):
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def log(self, service: str) -> str:
        return (self.folder / "logs" / f"{service}.log").read_text(errors="replace")

    def _call(self, service: str, words: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            env=self.environment(service),
            cwd=self.folder / "airflow",
            capture_output=True,
            text=True,
            timeout=480,
            check=False,
        )

    def _postgres(self, command: list[str]) -> tuple[list[str], dict[str, Any]]:
        """The image makes the database at its first start, by the same variables; PostgreSQL refuses to run as root."""
        programs, data = postgres_programs(), self.folder / "postgres"
        assert programs is not None
        data.mkdir()
        environment = self.environment("postgres")
        password = data.with_name("initial-password")
        shutil.copy(environment["POSTGRES_PASSWORD_FILE"], password)
        options: dict[str, Any] = {"user": "postgres"} if os.getuid() == 0 else {}
        if options:
            for path in (data, password):
                shutil.chown(path, "postgres")
        make = [str(programs / "initdb"), "-D", str(data), "-U", environment["POSTGRES_USER"], "--auth=scram-sha-256"]
        subprocess.run([*make, f"--pwfile={password}"], check=True, capture_output=True, cwd=data, **options)
        subprocess.run(
            [str(programs / "postgres"), "--single", "-D", str(data), "postgres"],
            input=f"CREATE DATABASE {environment['POSTGRES_DB']};".encode(),
            check=True,
            capture_output=True,
            cwd=data,
            **options,
        )
        with (data / "postgresql.auto.conf").open("a") as file:
            file.write(
                f"port = {self.ports['postgres']}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n"
            )
        return [str(programs / command[0]), *command[1:], "-D", str(data)], options


class Listener:
    """A StatsD server that remembers the names it was sent, with their tags."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.tags: dict[str, set[str]] = {}
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self) -> None:
        while True:
            try:
                packet = self.socket.recv(65536).decode()
            except OSError:  # it was closed
                return
            for line in packet.splitlines():
                name, *tags = line.rpartition(":")[0].split(",")
                suffix = "_bucket" if line.endswith("|ms") else ""
                found = self.tags.setdefault(name.replace(".", "_") + suffix, set())
                found.update(tag.split("=")[0] for tag in tags)


def metrics_of(expression: str) -> Iterator[str]:
    """The names of metrics in an expression of Prometheus."""
    yield from re.findall(r"\bairflow_\w+", expression)
