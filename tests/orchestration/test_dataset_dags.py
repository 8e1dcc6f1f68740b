"""The DAGs of datasets as Airflow parses them: one a file, whatever the files hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FILE = """
name = "{name}"
image = "image"
resolution = [8, 8, 40]
publish = "published/{name}"
[parameters]
constraints = "abiss2026"
[schedule]
{schedule}
"""
SCHEDULES = {
    "hand": "",
    "nightly": 'cron = "0 3 * * *"\ntimezone = "Europe/Zurich"',
    "watched": "watch_minutes = 15",
    "told": 'asset = "uploaded"',
    "later": 'after = "nightly"',
    "wrong": 'crn = "0 3 * * *"',
}
HEAVY = ("torch", "cloudvolume", "numba", "h5py", "tensorstore", "pyarrow", "scipy")

PARSE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

bag = DagBag(sys.argv[1])
found = {}
for name, dag in bag.dags.items():
    made = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    found[name] = {
        "summary": made.timetable.summary,
        "most": made.max_active_runs,
        "catchup": made.catchup,
        "nodes": {node.task_id: sorted(node.downstream_task_ids) for node in dag.tasks},
        "queues": sorted({node.queue for node in dag.tasks}),
        "outlets": [asset.name for asset in dag.get_task("publish").outlets] if dag.has_task("publish") else [],
        "doc": dag.doc_md,
    }
print("FACTS" + json.dumps({"errors": bag.import_errors, "dags": found, "modules": sorted(sys.modules)}))
"""


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """dags/datasets.py with a folder of files, one of which is wrong."""
    home, folder = tmp_path_factory.mktemp("airflow"), tmp_path_factory.mktemp("datasets")
    for name, schedule in SCHEDULES.items():
        (folder / f"{name}.toml").write_text(FILE.format(name=name, schedule=schedule))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////nonexistent/folder/airflow.db",
        "PYTHONPATH": str(PROJECT),
        "SEURON_DATASETS": str(folder),
    }
    command = [sys.executable, "-c", PARSE, str(PROJECT / "dags" / "datasets.py")]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("FACTS"))
    facts: dict[str, Any] = json.loads(line.removeprefix("FACTS"))
    return facts


def test_each_file_has_its_dag(parsed: dict[str, Any]) -> None:
    """A file that is wrong takes no other's DAG away, and its own says what is wrong and is never scheduled."""
    assert parsed["errors"] == {}
    assert set(parsed["dags"]) == {"datasets", *(f"dataset_{name}" for name in SCHEDULES)}
    wrong = parsed["dags"]["dataset_wrong"]
    assert "did you mean `cron`?" in wrong["doc"]
    assert wrong["summary"] == "None"


def test_schedules_are_those_of_the_files(parsed: dict[str, Any]) -> None:
    """Times, intervals, assets and other datasets; none is made up for, and none overlaps with itself."""
    summaries = {name: parsed["dags"][f"dataset_{name}"]["summary"] for name in SCHEDULES}
    assert (summaries["hand"], summaries["nightly"], summaries["watched"]) == ("None", "0 3 * * *", "0:15:00")
    assert summaries["told"] == summaries["later"] == "Asset"
    assert parsed["dags"]["dataset_nightly"]["outlets"] == ["dataset_nightly"]
    for name in SCHEDULES:
        dag = parsed["dags"][f"dataset_{name}"]
        assert (dag["most"], dag["catchup"], dag["queues"]) == (1, False, ["manager"])


def test_the_nodes_are_a_row(parsed: dict[str, Any]) -> None:
    """Each node waits for the one before it; the notice does not decide how the run ends, which `prune` does."""
    nodes = parsed["dags"]["dataset_hand"]["nodes"]
    row = ["acquire", "detect", "draft", "run", "wait", "publish"]
    assert all(after in nodes[before] for before, after in pairwise(row))
    assert nodes["publish"] == ["notify", "prune"]
    assert (nodes["prune"], nodes["notify"]) == ([], [])


def test_parsing_loads_nothing_heavy(parsed: dict[str, Any]) -> None:
    """Parameters are checked when a node runs: their rules need numba, which a parse must not load."""
    assert [name for name in HEAVY if name in parsed["modules"]] == []
