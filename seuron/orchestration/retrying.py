"""When a task that raised an error gets another try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import RetryDecision, RetryPolicy

from seuron.errors import PermanentError

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context


class FewTries(RetryPolicy):
    """No other try after a PermanentError, and none once a task has been tried `tries` times.

    Airflow asks only where an exception was raised. A task whose worker was lost raised none, and has
    all of the task's `retries`; the tries it lost so count here all the same.
    """

    def __init__(self, tries: int) -> None:
        self.tries = tries

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Fail for good, or leave it to the task's own retries and delays; and keep why, for the run's report."""
        from seuron.orchestration.troubles import keep_reason  # reads runs, which a parse of the DAGs need not load

        if context is not None:
            keep_reason(context, exception, try_number)
        if isinstance(exception, PermanentError):
            return RetryDecision.fail("another try would fail in the same way")
        if try_number >= self.tries:
            return RetryDecision.fail(f"it failed after {try_number} tries")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """What Airflow would write down of it."""
        return {"__type": type(self).__name__, "tries": self.tries}
