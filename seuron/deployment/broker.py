"""Redis, the broker between the scheduler and Celery workers, run as a supervised foreground process."""

from __future__ import annotations

import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from seuron.deployment.home import Home
from seuron.deployment.ports import is_free
from seuron.errors import RunError
from seuron.storage.private_files import write_secret

ADDRESS = "127.0.0.1"

#: Every change goes to a file before the next is answered to, and to the disk within a second: a killed Redis
#: loses nothing, a machine that loses its power at most what Airflow asks for again.
_OPTIONS = {
    "bind": ADDRESS,
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": '""',
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
    # A new title would overwrite the marks by which a killed supervisor's leftovers are found.
    "set-proc-title": "no",
}


@dataclass(frozen=True)
class Broker:
    """How to run the broker of a deployment."""

    program: str
    port: int
    configuration: Path
    password: str

    @classmethod
    def prepare(cls, home: Home) -> Broker:
        """Write its configuration and its address; raises RunError where there is no redis-server."""
        program = shutil.which("redis-server")
        if program is None:
            raise RunError(
                "redis-server is not on PATH, and Celery workers need a broker; "
                "install it (`apt-get install redis-server`), or start without --celery"
            )
        home.redis.mkdir(mode=0o700, exist_ok=True)
        port, password = _port(home), home.keys()["broker"]
        broker = cls(program, port, home.redis / "redis.conf", password)
        # In a file, because every process of the machine may read a command line.
        options = {**_OPTIONS, "port": str(port), "dir": str(home.redis), "requirepass": password}
        write_secret(broker.configuration, "".join(f"{name} {value}\n" for name, value in options.items()))
        write_secret(home.broker_url, broker.url)
        return broker

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{ADDRESS}:{self.port}/0"

    @property
    def command(self) -> list[str]:
        return [self.program, str(self.configuration)]

    def is_ready(self) -> bool:
        """Whether it takes commands; after a crash it first reads its log."""
        client = Redis(host=ADDRESS, port=self.port, password=self.password, socket_timeout=1.0)
        try:
            return bool(client.ping())
        except (RedisError, OSError):
            return False
        finally:
            client.close()


def _port(home: Home) -> int:
    """The port of last time, so that workers which outlive a restart find it again; else any free one."""
    if home.broker_url.exists():
        port = int(home.broker_url.read_text().rpartition(":")[2].partition("/")[0])
        if is_free(ADDRESS, port):
            return port
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])
