"""Runs whose contacts do not fit into a task: passed on, or shared out to other tasks, the bytes stay the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs_on_disk import bytes_of, parameters, save, smooth_affinities

from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.pipelines.segmentation import estimates
from seuron.pipelines.segmentation.octree import watershed_octree

CHUNKS = {"chunk_size": (11, 12, 13), "batch_chunks": 1}
RULES = '[{"rule": "size", "name": "dumbbell", "smaller_over": 40, "below": 0.6}]'


def all_joins(run: Run) -> int:
    return sum(int(record.counts.get("joins", 0)) for record in run.records())


@pytest.mark.parametrize(
    ("constraints", "expected", "rounds"),
    [
        pytest.param(RULES, 10.0, 2, id="rules, planned rounds"),
        pytest.param(None, 10.0, 2, id="planned rounds", marks=pytest.mark.long),
        pytest.param(RULES, 0.0, 0, id="rules, rounds of the root", marks=pytest.mark.long),
        pytest.param(None, 0.0, 0, id="rounds of the root"),
    ],
)
def test_tasks_without_room_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, constraints: str | None, expected: float, rounds: int
) -> None:
    """Merges pass on what they have no room for; the root goes through rounds, its own or planned ones."""
    source = save(tmp_path / "affinities", smooth_affinities((50, 24, 26)))
    whole = run_local(parameters(source, tmp_path / "whole", constraints=constraints))
    monkeypatch.setattr(estimates, "BYTES_PER_CONTACT", 500_000)
    monkeypatch.setattr(estimates, "BYTES_PER_OPEN_ID", 0)
    monkeypatch.setattr(estimates, "BYTES_PER_RULE_COLUMN", 0)
    monkeypatch.setattr(estimates, "CONTACTS_PER_FACE_VOXEL", expected)
    run = run_local(parameters(source, tmp_path / "out", constraints=constraints, task_memory=0.51, **CHUNKS))
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")
    assert all_joins(run) == all_joins(whole)
    tiers = run.plan.stage("agglomeration").tiers
    assert len(tiers) == len(watershed_octree(run.plan).merges) + 1 + 2 * rounds
    records = {record.task_id: record.counts for record in run.records()}
    passed = [counts for counts in records.values() if counts.get("passed_on")]
    assert passed, "no merge was short of room"
    root = records[tiers[-1][0].id]
    assert root["rounds"] > 1
    assert root["bins"] > root["rounds"], "no round had more than one bin"
    if rounds:
        used = [task for tier in tiers for task in tier if task.role == "bin" and records[task.id]["contacts"]]
        assert len(used) > 1, "the root did all by itself"


@pytest.mark.parametrize("constraints", [None, RULES])
@pytest.mark.parametrize("each", [30_000, 90_000])
def test_leaves_without_room_go_through_their_chunks_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, constraints: str | None, each: int
) -> None:
    """A leaf decides one part of its chunks after the other; what they leave it decides, or leaves to the merges."""
    source = save(tmp_path / "affinities", smooth_affinities((30, 28, 26)))
    whole = run_local(parameters(source, tmp_path / "whole", constraints=constraints))
    monkeypatch.setattr(estimates, "BYTES_PER_CONTACT", each)
    monkeypatch.setattr(estimates, "BYTES_PER_OPEN_ID", 0)
    monkeypatch.setattr(estimates, "BYTES_PER_RULE_COLUMN", 0)
    monkeypatch.setattr(estimates, "CONTACTS_PER_FACE_VOXEL", 0.0)
    chunks = {"chunk_size": (7, 8, 9), "batch_chunks": 4}
    run = run_local(parameters(source, tmp_path / "out", constraints=constraints, task_memory=0.51, **chunks))
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")
    assert all_joins(run) == all_joins(whole)
    leaves = [run.record(task.id) for task in run.plan.stage("agglomeration").tiers[0]]
    assert max(record.counts.get("parts", 1) for record in leaves if record is not None) > 2
