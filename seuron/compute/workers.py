"""Workers, seen through the broker: what they say of themselves, and how they are told to take no more.

`seuron worker` writes a `WorkerReport` to Redis every few seconds, under a key that expires, so a worker
that died is gone from there soon. What it runs and whether it takes tasks is asked of Celery each time,
so a report tells what is, and not what somebody wished.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from seuron.compute.groups import WorkerReport
from seuron.engine.queues import QueueOffer
from seuron.errors import ComputeError

#: A report is forgotten after so many seconds: six are missed by then.
REPORT_SECONDS = 30
#: How long a worker may take to answer, s. Its answers come from a process of their own, not from its tasks.
ANSWER_SECONDS = 2.0

_KEY = "seuron:worker:"
#: What a broker that is away, or is just starting, makes its clients raise.
BROKER_ERRORS = (RedisError, OperationalError, OSError)


@dataclass(frozen=True)
class Service:
    """What a worker serves: its queues, and what each of its slots has."""

    queues: tuple[str, ...]
    slots: int
    memory_bytes: int
    gpus: int = 0

    @property
    def offers(self) -> tuple[QueueOffer, ...]:
        """One for each queue."""
        return tuple(QueueOffer(queue, self.memory_bytes, self.gpus) for queue in self.queues)


def reports(broker_url: str) -> list[WorkerReport]:
    """What each living worker said last, by name."""
    with _broker(broker_url) as redis:
        return sorted((WorkerReport(**row["report"]) for row in _rows(redis)), key=lambda report: report.instance)


def reported_offers(broker_url: str) -> list[QueueOffer]:
    """The queues that living workers serve, one offer for each worker and queue."""
    with _broker(broker_url) as redis:
        services = [_service(row["service"]) for row in _rows(redis)]
    return [offer for service in services for offer in service.offers]


def drain(broker_url: str, name: str) -> None:
    """Tell a worker to take no more tasks; what it does, it finishes. Its reports say when it has heard it."""
    _tell(broker_url, name, "cancel_consumer")


def resume(broker_url: str, name: str) -> None:
    """Let a drained worker take tasks again."""
    _tell(broker_url, name, "add_consumer")


def running(broker_url: str, name: str) -> int:
    """How many tasks a worker does now, asked of itself; raises ComputeError when it does not answer."""
    with _celery(broker_url) as app:
        answer = _ask(app, name)
    if answer is None:
        raise ComputeError(f"worker {name!r} does not answer within {ANSWER_SECONDS:g} s; see whether it still reports")
    return len(answer.started)


def write_report(redis: Redis, report: WorkerReport, service: Service) -> None:
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


@dataclass(frozen=True)
class Answer:
    """What a worker says when it is asked: when its tasks were started (s since 1970), the queues it takes from."""

    started: tuple[float, ...]
    queues: tuple[str, ...]


class Observer:
    """Makes the reports of one worker."""

    def __init__(
        self, broker_url: str, name: str, service: Service, disk: Path, begun: Callable[[], Sequence[float]]
    ) -> None:
        """`begun` tells when the task processes that live now began, s since 1970: a worker that is ending does
        not answer, but still has them.
        """
        self.name, self.service, self.disk, self._begun = name, service, disk, begun
        self._app = Celery(broker=broker_url)
        self._redis = connect(broker_url)
        self.answered = time.monotonic()
        self._queues: tuple[str, ...] | None = None

    def look(self) -> WorkerReport:
        """Ask the worker, write down what it says, and return it; raises one of BROKER_ERRORS.

        Nothing is written before its first answer: a worker that only starts would seem to take no tasks.
        One that is too busy to answer in time takes from the queues that it named last.
        """
        answer = _ask(self._app, self.name)
        if answer is not None:
            self.answered, self._queues = time.monotonic(), answer.queues
        report = self._report(answer or Answer((), self._queues or ()))
        if self._queues is not None:
            write_report(self._redis, report, self.service)
        return report

    def close(self) -> None:
        """Forget the worker and let go of the broker."""
        forget(self._redis, self.name)
        self._redis.close()
        self._app.close()

    def _report(self, answer: Answer) -> WorkerReport:
        now, begun = time.time(), self._begun()
        return WorkerReport(
            instance=self.name,
            time=now,
            running=max(len(answer.started), len(begun)),
            oldest=max((now - started for started in (*answer.started, *begun)), default=0.0),
            accepting=set(self.service.queues) <= set(answer.queues),
            disk=psutil.disk_usage(str(self.disk)).percent / 100,
            memory=psutil.virtual_memory().percent / 100,
        )


def _ask(app: Celery, name: str) -> Answer | None:
    """Ask a worker; None when it does not answer in time."""
    node = node_name(name)
    inspect = app.control.inspect(destination=[node], timeout=ANSWER_SECONDS, limit=1)
    active: Mapping[str, Sequence[Mapping[str, Any]]] | None = inspect.active()
    queues: Mapping[str, Sequence[Mapping[str, Any]]] | None = inspect.active_queues()
    if not active or not queues or node not in active or node not in queues:
        return None
    started = tuple(float(task.get("time_start") or time.time()) for task in active[node])
    return Answer(started, tuple(str(queue["name"]) for queue in queues[node]))


def node_name(name: str) -> str:
    """Celery's name of a worker."""
    return f"celery@{name}"


def _tell(broker_url: str, name: str, order: str) -> None:
    """Give an order for each queue of a worker; raises ComputeError when it does not report."""
    with _broker(broker_url) as redis:
        row = redis.get(_KEY + name)
    if row is None:
        raise ComputeError(f"worker {name!r} does not report; those that do are listed by `seuron workers`")
    queues = _service(json.loads(row)["service"]).queues
    with _celery(broker_url) as app:
        for queue in queues:
            app.control.broadcast(order, arguments={"queue": queue}, destination=[node_name(name)])


def _rows(redis: Redis) -> Iterator[dict[str, Any]]:
    keys: Iterable[bytes] = redis.scan_iter(match=f"{_KEY}*", count=1000)
    for key in keys:
        row = redis.get(key)
        if row is not None:  # it may expire between the two
            yield json.loads(row)


def _service(row: Mapping[str, Any]) -> Service:
    return Service(**{**row, "queues": tuple(row["queues"])})


@contextmanager
def _broker(broker_url: str) -> Iterator[Redis]:
    """A connection whose faults are ComputeErrors; they name no address, as it may hold a password."""
    client = connect(broker_url)
    try:
        yield client
    except BROKER_ERRORS as error:
        raise ComputeError(f"the broker does not answer ({type(error).__name__}); is Redis running?") from error
    finally:
        client.close()


@contextmanager
def _celery(broker_url: str) -> Iterator[Celery]:
    app = Celery(broker=broker_url)
    try:
        yield app
    except BROKER_ERRORS as error:
        raise ComputeError(f"the broker does not answer ({type(error).__name__}); is Redis running?") from error
    finally:
        app.close()
