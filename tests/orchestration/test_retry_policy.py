"""Which errors get another try."""

from __future__ import annotations

import pytest

from seuron.engine.queues import QueueErrors
from seuron.errors import DataError


@pytest.fixture
def policy(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
    from seuron.orchestration.retry_policy import LimitedRetries

    return LimitedRetries(3)


def test_a_permanent_error_fails_on_the_first_try(policy) -> None:
    """What a retry cannot fix fails at once, with the reason; its subclasses too."""
    for error in (DataError("NaN"), QueueErrors(["no queue"])):
        decision = policy.evaluate(error, 1, 20)
        assert decision.action.value == "fail"
        assert "same way" in decision.reason


def test_a_passing_error_has_few_tries_a_lost_worker_many(policy) -> None:
    """An error that keeps coming fails after so many tries, though retries are left for lost workers."""
    actions = [policy.evaluate(OSError("disk full"), number, 20).action.value for number in (1, 2, 3, 9)]
    assert actions == ["default", "default", "fail", "fail"]
