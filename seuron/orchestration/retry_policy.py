"""The retry policy: when a task that raised an error is retried."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from airflow.sdk import RetryDecision, RetryPolicy

from seuron.errors import PermanentError, SeuronError

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

#: A passing fault (a lost connection, a full disk that someone clears) gets some minutes in all: 5, 10, 20,
#: 40 and 60 s. A permanent one would come back every time. A lost worker raises nothing, so the policy is
#: not asked: such a task is retried until its retries are used up, as cheap instances vanish often.
EXCEPTION_TRIES = 6


#: Errors of the code or of what it was given, never of a network or of a disk.
UNEXPECTED_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
#: System errors that say something of a path, and will say it again.
_OF_PATHS = {
    *(errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EEXIST, errno.EINVAL),
}


def is_final(error: Exception) -> bool:
    """Whether an error before the first task of a run will come back on every try."""
    if isinstance(error, SeuronError):
        return isinstance(error, PermanentError)
    return error.errno in _OF_PATHS if isinstance(error, OSError) else isinstance(error, UNEXPECTED_ERRORS)


class LimitedRetries(RetryPolicy):
    """No retry after a PermanentError, and none once a task has been tried `tries` times.

    Airflow asks only where an exception was raised. A task whose worker was lost raised none, and has
    all of the task's `retries`; the tries that it lost count here as well.
    """

    def __init__(self, tries: int) -> None:
        self.tries = tries

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Fail for good, or leave it to the task's own retries and delays; store the reason, for the run's report."""
        from seuron.orchestration.retry_reasons import (
            keep_reason,  # a parse of the DAGs need not load runs
        )

        if context is not None:
            keep_reason(context, exception, try_number)
        if isinstance(exception, PermanentError):
            return RetryDecision.fail("another try would fail in the same way")
        if try_number >= self.tries:
            return RetryDecision.fail(f"it failed after {try_number} tries")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """What Airflow would store of it."""
        return {"__type": type(self).__name__, "tries": self.tries}
