"""Workers, seen through the broker: what they say of themselves, and how they are drained.

`seuron worker` writes a `WorkerReport` to Redis every few seconds, under a key that expires, so a worker
that died is gone from there soon. What it runs and whether it takes tasks is asked of Celery each time,
so a report says what is, and not what somebody wished.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from seuron.cluster.groups import WorkerReport
from seuron.engine.queues import MANAGER, QueueCapacity
from seuron.errors import ComputeError, DamagedFileError
from seuron.storage.documents import parse_document

#: A report is forgotten after so many seconds: six are missed by then.
REPORT_SECONDS = 30
#: How long a worker may take to answer, s. Its answers come from a process of their own, not from its tasks.
ANSWER_SECONDS = 2.0

_KEY = "seuron:worker:"
#: What a broker that is away, or is just starting, makes its clients raise.
BROKER_ERRORS = (RedisError, OperationalError, OSError)


@dataclass(frozen=True)
class WorkerService:
    """What a worker serves: its queues, and what each of its slots has."""

    queues: tuple[str, ...]
    slots: int
    memory_bytes: int
    gpus: int = 0

    @property
    def capacities(self) -> tuple[QueueCapacity, ...]:
        """One for each queue."""
        return tuple(QueueCapacity(queue, self.memory_bytes, self.gpus) for queue in self.queues)


@dataclass(frozen=True)
class _Row:
    """What is kept of a worker."""

    report: WorkerReport
    service: WorkerService


@dataclass(frozen=True)
class BrokerWorkers:
    """The workers that report to a broker. Its address may hold a password, so it is never shown."""

    broker_url: str = field(repr=False)

    def reports(self) -> list[WorkerReport]:
        """What each living worker said last, by name."""
        return sorted((row.report for row in self._rows()), key=lambda report: report.instance)

    def damaged(self) -> list[str]:
        """A sentence for each worker whose report cannot be read; the others do not depend on it."""
        return sorted(str(row) for row in self._read() if isinstance(row, DamagedFileError))

    def capacities(self) -> list[QueueCapacity]:
        """The queues that living workers serve, once for each worker and queue."""
        return [capacity for row in self._rows() for capacity in row.service.capacities]

    def slots(self) -> int:
        """The slots of living workers, but for those of the manager's queue alone."""
        services = [row.service for row in self._rows()]
        return sum(service.slots for service in services if set(service.queues) != {MANAGER})

    def drain(self, name: str) -> None:
        """Let a worker take no more tasks; what it does, it finishes. Its reports say when it has heard it."""
        self._order(name, "cancel_consumer")

    def resume(self, name: str) -> None:
        """Let a drained worker take tasks again."""
        self._order(name, "add_consumer")

    def _rows(self) -> list[_Row]:
        return [row for row in self._read() if isinstance(row, _Row)]

    def _read(self) -> list[_Row | DamagedFileError]:
        """What every worker wrote last, or why that cannot be read."""
        with _broker_errors(), closing(connect(self.broker_url)) as redis:
            keys: Iterable[bytes] = redis.scan_iter(match=f"{_KEY}*", count=1000)
            names = [key.decode(errors="replace").removeprefix(_KEY) for key in keys]
            return [row for name in names if (row := _row(redis, name)) is not None]

    def _order(self, name: str, order: str) -> None:
        """Give an order for each queue of a worker; raises ComputeError when it does not report."""
        with (
            _broker_errors(),
            closing(connect(self.broker_url)) as redis,
            closing(Celery(broker=self.broker_url)) as app,
        ):
            row = _row(redis, name)
            if isinstance(row, DamagedFileError):
                raise row
            if row is None:
                raise ComputeError(f"worker {name!r} does not report; those that do are listed by `seuron workers`")
            for queue in row.service.queues:
                app.control.broadcast(order, arguments={"queue": queue}, destination=[node_name(name)])


def write_report(redis: Redis, report: WorkerReport, service: WorkerService) -> None:
    """Keep the report for `REPORT_SECONDS`."""
    row = {"report": asdict(report), "service": asdict(service)}
    redis.set(_KEY + report.instance, json.dumps(row), ex=REPORT_SECONDS)


def forget(redis: Redis, name: str) -> None:
    """Remove the report of a worker that ends."""
    redis.delete(_KEY + name)


def connect(broker_url: str) -> Redis:
    """A client that gives up soon, so that a broker that is away is noticed."""
    url = broker_url.replace("redis+socket://", "unix://", 1).replace("virtual_host=", "db=", 1)
    client: Redis = Redis.from_url(url, socket_timeout=5.0, socket_connect_timeout=5.0)
    return client


class Observer:
    """Makes the reports of one worker."""

    def __init__(
        self, broker_url: str, name: str, service: WorkerService, disk: Path, begun: Callable[[], Sequence[float]]
    ) -> None:
        """`begun` says when the task processes that live now began, s since 1970: a worker that is ending does
        not answer, but still has them.
        """
        self.name, self.service, self.disk, self._begun = name, service, disk, begun
        self._app = Celery(broker=broker_url)
        self._redis = connect(broker_url)
        self.answered = time.monotonic()
        self._queues: tuple[str, ...] | None = None

    def report(self) -> WorkerReport:
        """Ask the worker, write down what it says, and return it; raises one of BROKER_ERRORS.

        Nothing is written before its first answer: a worker that only starts would seem to take no tasks.
        One that is too busy to answer in time takes from the queues that it named last.
        """
        started, queues = self._ask()
        if queues is not None:
            self.answered, self._queues = time.monotonic(), queues
        now, begun = time.time(), self._begun()
        report = WorkerReport(
            instance=self.name,
            time=now,
            running=max(len(started), len(begun)),
            oldest=max((now - moment for moment in (*started, *begun)), default=0.0),
            accepting=set(self.service.queues) <= set(self._queues or ()),
            disk=psutil.disk_usage(str(self.disk)).percent / 100,
            memory=psutil.virtual_memory().percent / 100,
        )
        if self._queues is not None:
            write_report(self._redis, report, self.service)
        return report

    def close(self) -> None:
        """Forget the worker and let go of the broker."""
        forget(self._redis, self.name)
        self._redis.close()
        self._app.close()

    def _ask(self) -> tuple[tuple[float, ...], tuple[str, ...] | None]:
        """When the worker's tasks were started (s since 1970), and its queues; None when it does not answer in time."""
        node = node_name(self.name)
        inspect = self._app.control.inspect(destination=[node], timeout=ANSWER_SECONDS, limit=1)
        active: Mapping[str, Sequence[Mapping[str, Any]]] = inspect.active() or {}
        queues: Mapping[str, Sequence[Mapping[str, Any]]] = inspect.active_queues() or {}
        if node not in active or node not in queues:
            return (), None
        started = tuple(float(task.get("time_start") or time.time()) for task in active[node])
        return started, tuple(str(queue["name"]) for queue in queues[node])


def node_name(name: str) -> str:
    """Celery's name of a worker."""
    return f"celery@{name}"


def _row(redis: Redis, name: str) -> _Row | DamagedFileError | None:
    """What a worker wrote last; None where that has expired meanwhile. Another version's may have other fields."""
    remedy = f"the worker writes it every few seconds; if it stays so, update that worker or delete {_KEY}{name}"
    try:
        content: bytes | None = redis.get(_KEY + name)  # type: ignore[assignment]
        return None if content is None else parse_document(content, _Row, f"the report of the worker {name!r}", remedy)
    except ResponseError as error:  # a key of that name holds something else
        return DamagedFileError(f"the report of the worker {name!r}", str(error), remedy)
    except DamagedFileError as error:
        return error


@contextmanager
def _broker_errors() -> Iterator[None]:
    """Faults of the broker are ComputeErrors; they name no address, as it may hold a password."""
    try:
        yield
    except BROKER_ERRORS as error:
        raise ComputeError(f"the broker does not answer ({type(error).__name__}); is Redis running?") from error
