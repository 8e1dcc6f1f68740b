"""The cluster policy, with Airflow's own tables: it sets what `prepare` stored, and costs next to nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]

#: Makes Airflow's tables in SQLite, with two runs of which one was prepared, and calls the policy as Airflow does.
LOOK = """
import json, sys, time
from sqlalchemy import create_engine, event
from sqlalchemy.orm import Session
from airflow import settings
from airflow.models import DagRun, TaskInstance, import_all_models
from airflow.models.base import Base
from airflow.models.xcom import XComModel
from airflow.utils.types import DagRunType

import_all_models()
engine = create_engine("sqlite://")
Base.metadata.create_all(engine)
statements = []
event.listen(engine, "before_cursor_execute", lambda c, cursor, text, *rest: statements.append(text))
session = Session(engine)
facts = {}

def run_of(name):
    run = DagRun(dag_id="segmentation", run_id=name, run_type=DagRunType.MANUAL)
    session.add(run)
    session.flush()
    return run

def ti(task_id, map_index=0, dag_id="segmentation"):
    made = TaskInstance._sa_class_manager.new_instance()
    made.dag_id, made.task_id, made.map_index = dag_id, task_id, map_index
    made.queue, made.pool, made.pool_slots = "cpu", "cpu", 1
    return made

def placed(made, run):
    settings.task_instance_mutation_hook(made, dag_run=run)
    return [made.queue, made.pool, made.pool_slots]

run, fresh = run_of("prepared"), run_of("fresh")
routes = {"labels.tier_0": ["large", 1], "watershed.tier_1": ["memory", 3]}
session.add(XComModel(dag_run_id=run.id, task_id="batches.queues", map_index=-1, key="return_value",
                      dag_id="segmentation", run_id="prepared", value=routes))
session.flush()
facts["own name"] = placed(ti("labels.tier_0"), run)
facts["pool"] = placed(ti("watershed.tier_1"), run)
facts["not routed"] = placed(ti("pyramid.tier_0"), run)
facts["not expanded"] = placed(ti("watershed.tier_1", -1), run)
facts["other dag"] = placed(ti("watershed.tier_1", 0, "other"), run)
facts["no run"] = placed(ti("watershed.tier_1"), None)
facts["before"] = placed(ti("watershed.tier_1"), fresh)
session.add(XComModel(dag_run_id=fresh.id, task_id="batches.queues", map_index=-1, key="return_value",
                      dag_id="segmentation", run_id="fresh", value={"watershed.tier_1": ["gpu", 1]}))
session.flush()
facts["after"] = placed(ti("watershed.tier_1"), fresh)
many = [ti("watershed.tier_1", index) for index in range(20_000)]
del statements[:]
began = time.process_time()
for made in many:
    settings.task_instance_mutation_hook(made, dag_run=run)
facts["seconds"], facts["statements"] = time.process_time() - began, len(statements)
print("FACTS" + json.dumps(facts))
"""


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the policy did."""
    home = tmp_path_factory.mktemp("airflow")
    # Installed, the project's entry points are found; from its source, they are written down here.
    entry_points = home / "seuron_source-0.dist-info"
    entry_points.mkdir()
    (entry_points / "METADATA").write_text("Metadata-Version: 2.1\nName: seuron-source\nVersion: 0\n")
    (entry_points / "entry_points.txt").write_text("[airflow.policy]\nseuron = seuron.orchestration.routing\n")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": os.pathsep.join([str(PROJECT), str(home)]),
    }
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("FACTS"))
    found: dict[str, Any] = json.loads(line.removeprefix("FACTS"))
    return found


def test_a_planned_task_has_the_queue_that_prepare_stored(facts: dict[str, Any]) -> None:
    """The queue is the stored one; its pool and slots too, where there is a pool of that name."""
    assert facts["own name"] == ["large", "cpu", 1]
    assert facts["pool"] == ["memory", "memory", 3]


def test_other_tasks_stay_as_they_are(facts: dict[str, Any]) -> None:
    """A tier without a route, a node before it is expanded, another DAG, and a call without a run change nothing."""
    for case in ("not routed", "not expanded", "other dag", "no run"):
        assert facts[case] == ["cpu", "cpu", 1], case


def test_a_run_that_was_not_prepared_yet_is_looked_up_again(facts: dict[str, Any]) -> None:
    """Only what was found is kept, so that the routes are seen as soon as `prepare` has stored them."""
    assert facts["before"] == ["cpu", "cpu", 1]
    assert facts["after"] == ["gpu", "gpu", 1]


def test_twenty_thousand_tasks_cost_no_query(facts: dict[str, Any]) -> None:
    """A run's routes are read once; setting them takes a small part of what Airflow needs to make the tasks."""
    assert facts["statements"] == 0
    assert facts["seconds"] < 3
