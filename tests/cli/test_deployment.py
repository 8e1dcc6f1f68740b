"""What `up` refuses, and what `status` says of a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from seuron.cli.deployment import up
from seuron.cluster.cluster_state import GroupState, QueueDepth
from seuron.cluster.costs.ledger import Ledger
from seuron.cluster.groups import Group, Instance
from seuron.cluster.records import ClusterSnapshot
from seuron.commands.deployment_status import cluster_lines
from seuron.errors import ParameterErrors

GROUP = Group("all", "cpu", "local", slots=2, memory_bytes=2**30, max_size=4, price=1.0)


def test_a_cluster_needs_celery(tmp_path: Path) -> None:
    """The two that exclude each other are named, and nothing is started."""
    with pytest.raises(ParameterErrors, match="--no-celery"):
        up(celery=False, cluster=tmp_path / "cluster.toml")


def test_a_wrong_file_is_reported_before_anything_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with it comes at once, and no supervisor runs."""
    monkeypatch.setenv("SEURON_HOME", str(tmp_path / "home"))
    file = tmp_path / "cluster.toml"
    file.write_text('name = "x"\nprovider = "processes"\n')
    with pytest.raises(ParameterErrors, match="`queues` is missing"):
        up(cluster=file)
    assert not (tmp_path / "home" / "supervisor.json").exists()


def test_status_says_what_is_held_and_what_to_do() -> None:
    """Groups, queues, dollars by run, and with a used-up budget the way on."""
    groups = (GroupState(GROUP, (Instance("all-1", "all", "running", 0.0),), 1),)
    look = ClusterSnapshot(
        0.0, groups, {"cpu": QueueDepth(7, 2)}, spent=5.0, budget=5.0, problems=("the broker is away",)
    )
    ledger = Ledger(runs={"first": 3.0})
    text = "\n".join(cluster_lines("c.toml", look, ledger))
    for words in ("$5.00 spent of a budget of $5.00", "1 of 4 instances", "7 tasks wait, 2 run", "run first: $3.00"):
        assert words in text
    assert "the broker is away" in text
    assert "raise" not in text
    held = ClusterSnapshot(0.0, groups, {"cpu": QueueDepth(7, 0)}, spent=5.0, budget=5.0, held=("cpu",))
    assert "raise `budget_dollars` in c.toml" in "\n".join(cluster_lines("c.toml", held, ledger))
    assert "no step" in "".join(cluster_lines("c.toml", None, Ledger()))
