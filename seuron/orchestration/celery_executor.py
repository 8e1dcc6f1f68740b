"""Airflow's CeleryExecutor whose messages may wait for a worker for days.

A task's message holds a token by which its worker says that it begins. Airflow 3.3.2 makes it good for
`[scheduler] task_queued_timeout` (`BaseWorkloadSchema.generate_token`), after which a queued task is sent again.
But the first message stays in the broker, and a worker that takes it after that time is refused, which
fails the try if the scheduler has not sent the next one yet: while it is down, or busy with thousands of others.
On a cluster that begins at nothing, or has found no machine for an hour, all messages are that old.

So the two times are apart here: tokens of waiting tasks live for `TOKEN_SECONDS`. Such a token lets its bearer
begin this one task, once, and nothing else; from then on Airflow gives the task tokens of another kind
(`[execution_api] jwt_expiration_time`, ten minutes, renewed by the heartbeats of the task).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.celery.executors.celery_executor import CeleryExecutor

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.tokens import JWTGenerator

#: How long a message may wait for a worker, s: longer than a weekend without machines.
TOKEN_SECONDS = 7 * 24 * 3600.0
#: What Airflow calls the tokens of tasks that have not begun.
_WAITING = "workload"


class PatientCeleryExecutor(CeleryExecutor):
    """Gives the tokens of waiting tasks a life of their own."""

    @cached_property
    def jwt_generator(self) -> JWTGenerator:
        """What makes the tokens that messages hold."""
        return cast("JWTGenerator", PatientTokens(super().jwt_generator))


class PatientTokens:
    """Airflow's generator of tokens; those of waiting tasks live for at least `TOKEN_SECONDS`."""

    def __init__(self, generator: JWTGenerator) -> None:
        self._generator = generator

    def generate(
        self,
        extras: dict[str, Any] | None = None,
        headers: dict[str, Any] | None = None,
        valid_for: float | None = None,
    ) -> str:
        """A signed token with the claims `extras`."""
        if extras and extras.get("scope") == _WAITING:
            valid_for = max(valid_for or 0.0, TOKEN_SECONDS)
        return self._generator.generate(extras, headers, valid_for)
