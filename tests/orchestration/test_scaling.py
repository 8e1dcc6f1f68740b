"""The nodes by which a cluster is scaled: there where there is a cluster, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from seuron.cluster.cluster_state import QueueDepth
from seuron.orchestration.pending_work import NodeWork, first_pending_work
from seuron.pipelines.segmentation import PIPELINE

ROW = [f"{stage.name}.tier_{tier}" for stage in PIPELINE.stages for tier in range(stage.tiers)]


def test_without_a_cluster_there_is_nothing_of_it(parsed: dict[str, Any]) -> None:
    """No node more in the segmentation, and the DAG of steps is never scheduled."""
    assert [name for name in parsed["tasks"] if name.startswith("machines")] == []
    assert not any(task["setup"] or task["teardown"] for task in parsed["tasks"].values())
    assert "0:00:30" not in str(parsed["schedules"]["cluster"])
    assert parsed["schedules"]["cluster"] == parsed["schedules"]["segmentation"]


def test_with_a_cluster_steps_are_scheduled(parsed_with_cluster: dict[str, Any]) -> None:
    """As often as the environment says; a segmentation still runs only when it is asked for."""
    assert parsed_with_cluster["import_errors"] == {}
    assert parsed_with_cluster["schedules"]["cluster"] == "0:00:30"
    assert parsed_with_cluster["schedules"]["segmentation"] != "0:00:30"


@pytest.mark.parametrize(
    ("name", "before", "first", "last"),
    [
        ("affinities", "prepare", "affinities.tier_0", "affinities.tier_1"),
        (
            "watershed",
            "affinities.inspect",
            "watershed.tier_0",
            f"evaluation.tier_{PIPELINE.stage('evaluation').tiers - 1}",
        ),
    ],
)
def test_machines_are_set_up_around_stages(
    parsed_with_cluster: dict[str, Any], name: str, before: str, first: str, last: str
) -> None:
    """The setup stands before the first tier, the teardown behind the last, and nothing waits for the teardown."""
    tasks = parsed_with_cluster["tasks"]
    setup, ready, teardown = (f"machines_{name}{end}" for end in ("", "_ready", "_done"))
    assert tasks[setup]["setup"]
    assert tasks[setup]["upstream"] == [before]
    assert tasks[setup]["trigger_rule"].lower().endswith("none_failed")
    assert tasks[ready]["upstream"] == [setup]
    assert ready in tasks[first]["upstream"]
    assert tasks[teardown]["teardown"]
    assert tasks[teardown]["upstream"] == sorted([setup, last])
    assert not any(teardown in task["upstream"] for task in tasks.values())
    assert {tasks[node]["queue"] for node in (setup, teardown)} == {"manager"}


def test_a_cancelled_run_cannot_end_as_a_success(parsed_with_cluster: dict[str, Any]) -> None:
    """The last node is a teardown, which runs though all others were skipped, and has no setup to be skipped with."""
    tasks = parsed_with_cluster["tasks"]
    assert tasks["ended"]["teardown"]
    assert tasks["ended"]["upstream"] == [ROW[-1]]


def test_a_cluster_changes_nothing_else_in_the_row(parsed: dict[str, Any], parsed_with_cluster: dict[str, Any]) -> None:
    """Every tier waits for what it waited for, and has its trigger rule."""
    for name in ROW:
        plain, scaled = parsed["tasks"][name], parsed_with_cluster["tasks"][name]
        assert set(plain["upstream"]) <= set(scaled["upstream"])
        assert plain["trigger_rule"] == scaled["trigger_rule"]


def test_the_first_tier_with_tasks_is_what_comes() -> None:
    """Finished tiers, tiers that the volume does not need and the manager's own ask for no machines."""
    work: dict[str, NodeWork] = {
        "a.tier_0": {"queue": "cpu", "tasks": 0, "seconds": 5.0},
        "b.tier_0": {"queue": "manager", "tasks": 1, "seconds": 5.0},
        "c.tier_0": {"queue": "memory", "tasks": 3, "seconds": 7.0},
        "d.tier_0": {"queue": "cpu", "tasks": 9, "seconds": 5.0},
    }
    nodes = ["a.tier_0", "missing.tier_0", "b.tier_0", "c.tier_0", "d.tier_0"]
    assert first_pending_work(work, nodes) == {"memory": QueueDepth(3, 0, planned_seconds=7.0)}
    assert first_pending_work(work, nodes[:3]) == {}
