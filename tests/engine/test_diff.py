"""`seuron plan --diff` and `seuron gc`: what a start would do, and why; what can be removed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from runs_on_disk import SETTINGS, parameters, save, smooth_affinities
from typer.testing import CliRunner

from seuron.box import Box
from seuron.cli.application import app
from seuron.engine.diff import CUT, FIRST, FOLLOWS, GROWN, NOT_FINISHED, Changes, changes_of
from seuron.engine.execute import run_task
from seuron.engine.local import run_local
from seuron.engine.queues import QueueErrors
from seuron.engine.run import Run
from seuron.engine.setup import plan_run, prepare_run
from seuron.volumes import open_volume

CHUNKS: dict[str, Any] = {"chunk_size": (24, 24, 20), "batch_chunks": 1}
SHAPE = (70, 45, 40)


@pytest.fixture
def source(tmp_path: Path) -> str:
    return save(tmp_path / "affinities", smooth_affinities(SHAPE))


def planned(source: str, output: Path, **changes: Any) -> Changes:
    params = parameters(source, output, **{**CHUNKS, **changes})
    return changes_of(plan_run(params))


def counts(changes: Changes, kind: str) -> dict[str, int]:
    return {stage.name: number for stage in changes.stages if (number := getattr(stage, kind))}


def test_what_a_start_would_do_and_why(source: str, tmp_path: Path) -> None:
    """Each kind of change has its reason, and only the tasks that it concerns are run."""
    output = tmp_path / "out"
    first = planned(source, output)
    assert set(first.reasons) == {FIRST}
    assert not output.exists(), "a plan writes nothing"
    run = prepare_run(parameters(source, output, **CHUNKS))
    leaves = run.plan.stage("watershed").tiers[0]
    run_task(run, leaves[0].id)
    half = planned(source, output)
    assert counts(half, "finished") == {"watershed": 1}
    assert set(half.reasons) == {NOT_FINISHED}
    run_local(run.params)
    everything = {stage.name: len(stage.tasks) for stage in run.plan.stages if stage.tasks}
    assert counts(planned(source, output), "finished") == everything
    assert planned(source, output).reasons == {}

    threshold = planned(source, output, agglomeration_threshold=0.6)
    assert threshold.reasons["agglomeration_threshold was 0.3, now 0.6"]["agglomeration"] == everything["agglomeration"]
    assert counts(threshold, "finished") == {"watershed": everything["watershed"]}
    assert counts(threshold, "checked") == {name: everything[name] for name in ("labels", "pyramid")}
    assert FOLLOWS in threshold.reasons
    cut = planned(source, output, chunk_size=(30, 30, 30))
    assert cut.reasons[CUT]["watershed"] > 0
    assert planned(source, output, watershed_size=9).reasons["watershed_size was 10, now 9"]["watershed"] > 0


def test_changed_blocks_and_new_boxes_are_named(source: str, tmp_path: Path) -> None:
    """A block that was written again is named by its box, with the leaves that see it; a grown box as such."""
    output, bbox = tmp_path / "out", (10, 20, 30, 80, 65, 60)
    run = run_local(parameters(source, output, bbox=bbox, **CHUNKS))
    volume = open_volume(source)
    block = volume.blocks(Box((10, 20, 30), (11, 21, 31)))[0]
    volume.write(block, volume.read(block) // 2)
    changes = planned(source, output, bbox=bbox)
    (reason,) = (reason for reason in changes.reasons if "have changed" in reason)
    assert reason == f"1 blocks of affinities have changed: {block}"
    assert changes.reasons[reason] == {"watershed": 1}
    assert counts(changes, "run") == {
        "watershed": 1,
    }
    grown = planned(source, output, bbox=(10, 20, 30, 80, 65, 70))
    assert grown.reasons[GROWN]["watershed"] > 0
    assert counts(grown, "finished")["watershed"] > 0
    assert Run.open(run.output).facts.box == run.facts.box


def test_tasks_of_other_runs_are_counted_as_reused(source: str, tmp_path: Path) -> None:
    """A new output with a store that another run has filled runs what leaves voxels, and no more."""
    shared = {"store": str(tmp_path / "store")}
    run = run_local(parameters(source, tmp_path / "one", **CHUNKS, **shared))
    changes = planned(source, tmp_path / "two", **shared)
    tables = ("watershed", "agglomeration")
    assert counts(changes, "reused") == {stage: len(run.plan.stage(stage).tasks) for stage in tables}
    assert "watershed" not in counts(changes, "run")


def test_the_commands(source: str, tmp_path: Path) -> None:
    """`plan` prints stages and reasons, `plan --json` the same as data; `gc` counts, and removes when told to."""
    output = tmp_path / "out"
    run = run_local(parameters(source, output, **CHUNKS))
    values = {**SETTINGS, **CHUNKS, "agglomeration_threshold": 0.6}
    words = [f"{name}={json.dumps(value)}" for name, value in values.items()]
    words += ["--affinities", source, "--output", str(output), "--set", "block_size=16,16,16"]
    shown = CliRunner().invoke(app, ["plan", *words, "--diff"])
    assert shown.exit_code == 0, shown.output
    for word in ("agglomeration", "core time", "checked", "agglomeration_threshold was 0.3, now 0.6"):
        assert word in shown.output
    data = json.loads(CliRunner().invoke(app, ["plan", *words, "--diff", "--json"]).output)
    rows = {row["stage"]: row for row in data["stages"]}
    assert rows["watershed"]["finished"] == rows["watershed"]["tasks"] == len(run.plan.stage("watershed").tasks)
    assert {"reason": FOLLOWS} in [{"reason": row["reason"]} for row in data["reasons"]]
    plain = json.loads(CliRunner().invoke(app, ["plan", *words, "--json"]).output)
    assert "reasons" not in plain

    run_local(parameters(source, output, **CHUNKS, agglomeration_threshold=0.6))
    objects = set(run.store.objects())
    counted = CliRunner().invoke(app, ["gc", str(output)])
    assert f"`gc {output} --delete` removes them" in counted.output
    assert set(run.store.objects()) == objects
    removed = CliRunner().invoke(app, ["gc", str(output / "objects"), "--delete"])
    assert "removed" in removed.output
    assert set(run.store.objects()) == {r.object for r in Run.open(str(output)).records() if r.object} < objects


CLUSTER = """
name = "here"
provider = "processes"
[[queues]]
name = "cpu"
[[groups]]
name = "small"
queue = "cpu"
slots = 2
slot_memory_gib = {memory}
max_size = 3
price = 36.0
"""


def test_a_plan_tells_what_it_would_cost_on_a_cluster(source: str, tmp_path: Path) -> None:
    """Queues, dollars and time before anything runs; a cluster that cannot hold a task is refused by name."""
    words = [
        "--affinities",
        source,
        "--output",
        str(tmp_path / "out"),
        *(f"{k}={json.dumps(v)}" for k, v in CHUNKS.items()),
    ]
    file = tmp_path / "here.toml"
    file.write_text(CLUSTER.format(memory=2.0))
    data = json.loads(CliRunner().invoke(app, ["plan", *words, "--cluster", str(file), "--json"]).output)
    dollars = data["cluster"]["estimate"]["dollars"]
    assert 0 < dollars["low"] < dollars["likely"] < dollars["high"]
    assert data["cluster"]["queues"]["watershed.tier_0"] == "cpu"
    assert data["cluster"]["queues"]["report.tier_0"] == "manager"
    shown = CliRunner().invoke(app, ["plan", *words, "--cluster", str(file)]).output
    assert "on the cluster here, without its manager: probably $" in shown
    file.write_text(CLUSTER.format(memory=0.1))
    refused = CliRunner().invoke(app, ["plan", *words, "--cluster", str(file)])
    assert isinstance(refused.exception, QueueErrors)
    assert "watershed, tier 0," in str(refused.exception)
