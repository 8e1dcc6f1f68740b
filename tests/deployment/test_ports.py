"""Ports: never the same one for two deployments, never one that somebody holds."""

from __future__ import annotations

import socket

import pytest

from seuron.deployment.ports import claim_port
from seuron.errors import RunError

HERE = "127.0.0.1"


def test_claims_that_are_not_bound_yet_do_not_meet() -> None:
    """Each claim has a port of its own, until its lock is let go."""
    first, lock = claim_port(HERE, 23_500)
    second, other = claim_port(HERE, first)
    assert second > first
    lock.close()
    again, third = claim_port(HERE, first)
    assert again == first
    other.close()
    third.close()


def test_a_port_that_is_bound_is_passed_over() -> None:
    """What another program listens on is not taken."""
    with socket.socket() as taken:
        taken.bind((HERE, 0))
        taken.listen()
        port = taken.getsockname()[1]
        found, lock = claim_port(HERE, port)
        lock.close()
    assert found != port


def test_no_free_port_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which ones were tried."""
    monkeypatch.setattr("seuron.deployment.ports.is_free", lambda address, port: False)
    with pytest.raises(RunError, match="from 23600 to 23649"):
        claim_port(HERE, 23_600)
