"""Which errors get another try."""

from __future__ import annotations

import errno

import pytest

from seuron.engine.queues import QueueErrors
from seuron.errors import DataError, ParameterErrors


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


def test_errors_before_the_first_task_are_final_unless_they_may_pass(policy) -> None:
    """An error of the code, or of a path, was tried six times; one of a network or a disk still is."""
    from botocore.exceptions import EndpointConnectionError

    from seuron.errors import RunError
    from seuron.orchestration.retry_policy import is_final

    for error in (
        KeyError("size"),
        TypeError("no"),
        DataError("NaN"),
        NotADirectoryError(errno.ENOTDIR, "no"),
        OverflowError(),
    ):
        assert is_final(error), error
    passing = EndpointConnectionError(endpoint_url="s3://bucket")
    for error in (ConnectionResetError(), TimeoutError(), OSError(errno.ENOSPC, "full"), RunError("running"), passing):
        assert not is_final(error), error


def test_a_note_has_room_for_every_problem(policy) -> None:
    """A note ends after a thousand characters: the last of many long problems were not in it."""
    from seuron.orchestration.run_notes import LONGEST, note_of

    problems = [f"`parameter_{number}`: {'a long reason ' * 40}" for number in range(9)]
    note = note_of(ParameterErrors(problems))
    assert len(note) <= LONGEST
    assert all(f"`parameter_{number}`: a long reason" in note for number in range(9))
    assert note_of(ParameterErrors(["`mip`: wrong"])) == "1 problem with the parameters:\n- `mip`: wrong"
    assert note_of(KeyError("size")) == "KeyError: 'size'"
