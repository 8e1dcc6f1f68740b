"""Snapshots of runs on disk: what is done, what one task did, which layers may be seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from runs_on_disk import parameters, save, smooth_affinities

from seuron.engine.execute import run_task
from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.engine.setup import prepare_run
from seuron.errors import RunError
from seuron.web.layers import layer_folder, layer_info, layer_versions, scales_made
from seuron.web.neuroglancer_state import neuroglancer_state
from seuron.web.snapshot import RunSnapshot, SnapshotCache
from seuron.web.task_details import task_details


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save(tmp_path_factory.mktemp("input") / "affinities", smooth_affinities((70, 40, 33)))


def test_a_snapshot_has_tasks_as_they_are_finished(source: str, tmp_path: Path) -> None:
    """Before the run is prepared there is nothing; then the finished tasks are those with a record."""
    cache = SnapshotCache(seconds=0)
    assert cache.get(str(tmp_path / "run")) is None
    run = prepare_run(parameters(source, tmp_path / "run", chunk_size=(16, 16, 16), batch_chunks=1))
    first = cache.get(run.output)
    assert first is not None
    assert first.done == frozenset()
    for task in run.plan.stage("watershed").tasks[:3]:
        run_task(run, task.id)
    second = cache.get(run.output)
    assert second is not None
    assert second.done == {task.id for task in run.plan.stage("watershed").tasks[:3]}
    assert second.version == first.version
    assert second.run is first.run  # the plan is not made again


def test_a_run_started_again_has_a_snapshot_of_its_own(source: str, tmp_path: Path) -> None:
    """Other parameters make another version, whose finished tasks are those that stay."""
    cache = SnapshotCache(seconds=0)
    run_local(parameters(source, tmp_path / "run"))
    before = cache.get(str(tmp_path / "run"))
    prepare_run(parameters(source, tmp_path / "run", agglomeration_threshold=0.6))
    after = cache.get(str(tmp_path / "run"))
    assert before is not None
    assert after is not None
    assert after.version != before.version
    assert {task.split("-")[0] for task in before.done - after.done} >= {"agglomeration", "labels"}
    assert {task for task in after.done if task.startswith("watershed")}


def test_snapshots_are_cached_for_a_moment(source: str, tmp_path: Path) -> None:
    """Within its time, the same snapshot is given again, so that many pages cost one."""
    run = prepare_run(parameters(source, tmp_path / "run"))
    cache = SnapshotCache(seconds=60)
    first = cache.get(run.output)
    run_task(run, run.plan.tasks[0].id)
    assert cache.get(run.output) is first


def test_a_folder_of_another_layout_is_refused_with_the_reason(tmp_path: Path) -> None:
    """A run that this version cannot read says so, for the page to show."""
    (tmp_path / "run.json").write_text(json.dumps({"layout": 1, "version": "0.1"}))
    with pytest.raises(RunError, match="layout"):
        SnapshotCache().get(str(tmp_path))


def test_details_are_those_of_the_record(source: str, tmp_path: Path) -> None:
    """A finished task has what it took and counted; one that waits has what is planned; others are unknown."""
    run = prepare_run(parameters(source, tmp_path / "run"))
    leaf = run.plan.stage("watershed").tiers[0][0].id
    record = run_task(run, leaf)
    snapshot = SnapshotCache(seconds=0).get(run.output)
    assert snapshot is not None
    done = task_details(snapshot, leaf)
    assert done is not None
    assert done["state"] == "done"
    assert done["record"]["seconds"] == record.seconds
    assert done["record"]["counts"] == record.counts
    assert done["chunks"] >= 1
    waiting = task_details(snapshot, run.plan.stage("report").tasks[0].id)
    assert waiting is not None
    assert waiting["state"] == "waiting"
    assert waiting["record"] is None
    assert task_details(snapshot, "../run") is None


def test_layers_appear_as_they_are_written(source: str, tmp_path: Path) -> None:
    """Only what has something in it is shown, with the scales that are made; its address changes as it grows."""
    run = prepare_run(parameters(source, tmp_path / "run", chunk_size=(32, 32, 32)))
    cache, versions, states = SnapshotCache(seconds=0), [], []
    for tier in run.plan.tiers():
        snapshot = _snapshot(cache, run)
        versions.append(layer_versions(snapshot))
        states.append(
            [layer["name"] for layer in neuroglancer_state(snapshot, lambda name, v: f"http://h/{v}/{name}")["layers"]]
        )
        for task in tier:
            run_task(run, task.id)
    snapshot = _snapshot(cache, run)
    assert versions[0] == {"affinities": "0"}
    assert states[0] == ["affinities"]
    assert list(layer_versions(snapshot)) == ["affinities", "supervoxels", "segmentation"]
    assert (
        len({shown["segmentation"] for shown in [*versions, layer_versions(snapshot)] if "segmentation" in shown}) >= 2
    )
    whole = json.loads((tmp_path / "run/segmentation/info").read_bytes())
    assert len(whole["scales"]) > 1
    assert scales_made(snapshot, next(layer for layer in run.layers if layer.name == "segmentation")) >= len(
        whole["scales"]
    )
    early = RunSnapshot(run, snapshot.version, frozenset(id for id in snapshot.done if not id.startswith("pyramid")))
    content = (tmp_path / "run/segmentation/info").read_bytes()
    assert len(json.loads(layer_info(early, "segmentation", content))["scales"]) == 1
    assert json.loads(layer_info(snapshot, "segmentation", content)) == whole


def test_addresses_lead_to_layers_of_the_run_only(source: str, tmp_path: Path) -> None:
    """A layer's folder is what the run says; any other name has none."""
    run = prepare_run(parameters(source, tmp_path / "run"))
    assert layer_folder(run, "segmentation") == tmp_path / "run/segmentation"
    assert layer_folder(run, "affinities") == Path(source.removeprefix("file://"))
    for name in ("tasks", "..", "objects", "", "image"):
        assert layer_folder(run, name) is None


def _snapshot(cache: SnapshotCache, run: Run) -> RunSnapshot:
    snapshot = cache.get(run.output)
    assert snapshot is not None
    return snapshot
