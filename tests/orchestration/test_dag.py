"""The DAG folder as Airflow parses it: nothing fails, nothing heavy is loaded, the graph fits the plan."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from small_nets import made_up_prediction

from seuron.box import Box
from seuron.engine.registry import pipeline_names
from seuron.engine.run import make_plan
from seuron.pipelines.segmentation import PIPELINE
from seuron.pipelines.segmentation.facts import VolumeFacts
from seuron.pipelines.segmentation.params import SegmentationParams

DAGS = Path(__file__).resolve().parents[2] / "dags"
HEAVY = ("torch", "cloudvolume", "numba", "h5py", "tensorstore", "pyarrow", "scipy")


def test_every_dag_file_parses(parsed: dict[str, Any]) -> None:
    """`dags/` imports without an error and without a database, with a DAG for each pipeline."""
    assert parsed["import_errors"] == {}
    assert parsed["dags"] == sorted(
        [*(path.stem for path in DAGS.glob("*.py") if path.stem != "pipelines"), *pipeline_names()]
    )


def test_parsing_loads_nothing_heavy(parsed: dict[str, Any]) -> None:
    """Every task process parses the DAG again, so the parse must not load what only some tasks need."""
    assert [name for name in HEAVY if name in parsed["modules"]] == []


def test_dag_files_are_wiring_only() -> None:
    """A DAG file holds its documentation, imports and one call: no logic, no Airflow variables."""
    for path in DAGS.glob("*.py"):
        tree = ast.parse(path.read_text())
        kinds = {type(node) for node in tree.body[1:]}
        assert ast.get_docstring(tree), path
        assert kinds <= {ast.ImportFrom, ast.Import, ast.Assign, ast.Expr}, path
        assert "Variable" not in path.read_text(), path


def test_the_description_is_the_page(parsed: dict[str, Any]) -> None:
    """`doc_md` is the pipeline's description."""
    assert parsed["doc"] == PIPELINE.description


def test_one_mapped_task_for_every_tier(parsed: dict[str, Any]) -> None:
    """Every tier that a plan may have has one mapped task, and beside these only gates are mapped."""
    mapped = {name for name, task in parsed["tasks"].items() if task["mapped"]}
    tiers = {f"{stage.name}.tier_{tier}" for stage in PIPELINE.stages for tier in range(stage.tiers)}
    assert mapped == tiers | {f"{stage}.inspect" for stage in PIPELINE.inspectable}


def test_tiers_form_one_row(parsed: dict[str, Any]) -> None:
    """Each tier waits for the tier before it, or the gate between them; what is skipped blocks nothing."""
    row = [
        name
        for stage in PIPELINE.stages
        for name in (
            *(f"{stage.name}.tier_{tier}" for tier in range(stage.tiers)),
            *([f"{stage.name}.inspect"] if stage.name in PIPELINE.inspectable else []),
        )
    ]
    for before, name in zip(["prepare", *row], row, strict=False):
        task = parsed["tasks"][name]
        assert before in task["upstream"]
        assert task["trigger_rule"] == "none_failed"


@pytest.mark.parametrize("from_image", [True, False])
def test_pools_are_of_the_work_that_the_plan_asks_for(parsed: dict[str, Any], from_image: bool) -> None:
    """A node names the pool and queue of its tasks' kind of work, whatever the plan puts into its tier."""
    source = {"image": "/image"} if from_image else {"affinities": "/affinities"}
    params = SegmentationParams(**source, output="/run", ground_truth="/truth", chunk_size=(64, 64, 64), batch_chunks=1)
    layers = dict.fromkeys(["affinities", "supervoxels", "segmentation"], 6)
    box = Box((0, 0, 0), (640, 640, 640))
    net = made_up_prediction(box, (256, 256, 256)) if from_image else None
    facts = VolumeFacts(box, (10.0, 10.0, 10.0), "uint8", layers, net)
    plan = make_plan(PIPELINE, params, facts)
    for task in plan.tasks:
        node = parsed["tasks"][f"{task.stage}.tier_{task.tier}"]
        assert (node["pool"], node["queue"]) == (task.work, task.work), task.id
