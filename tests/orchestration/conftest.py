"""The DAG folder parsed once, in a process of its own, as Airflow's DAG processor would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]

#: No database lies at this address: a parse that needs one fails.
NO_DATABASE = "sqlite:////nonexistent/folder/airflow.db"

PARSE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

before = set(sys.modules)
bag = DagBag(sys.argv[1])
loaded = sorted(set(sys.modules) - before)
dag = bag.dags.get("segmentation")
facts = {
    "import_errors": bag.import_errors,
    "dags": sorted(bag.dags),
    "loaded": loaded,
    "modules": sorted(sys.modules),
    "schemas": {name: dag.params.get_param(name).schema for name in dag.params},
    "defaults": {name: param.value for name in dag.params if isinstance((param := dag.params.get_param(name)).value,
                 (str, int, float, type(None)))},
    "doc": dag.doc_md,
    "tasks": {
        task.task_id: {
            "pool": task.pool if not task.is_mapped else task.partial_kwargs["pool"],
            "queue": task.queue if not task.is_mapped else task.partial_kwargs["queue"],
            "mapped": task.is_mapped,
            "trigger_rule": str(getattr(task, "trigger_rule", "")),
            "upstream": sorted(task.upstream_task_ids),
            "setup": task.is_setup,
            "teardown": task.is_teardown,
        }
        for task in dag.tasks
    },
    "schedules": {name: str(getattr(found, "schedule", None)) for name, found in bag.dags.items()},
    "serialized_bytes": len(json.dumps(DagSerialization.to_dict(dag))),
}
print("FACTS" + json.dumps(facts))
"""


@pytest.fixture(scope="session")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Everything that the tests ask of a parsed `dags/`."""
    return parse(tmp_path_factory.mktemp("airflow"))


@pytest.fixture(scope="session")
def parsed_with_cluster(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same where the deployment has a cluster, whose file a parse must not need."""
    settings = {"SEURON_CLUSTER": "/nonexistent/cluster.toml", "SEURON_CLUSTER_SECONDS": "30"}
    return parse(tmp_path_factory.mktemp("airflow"), **settings)


def parse(home: Path, **settings: str) -> dict[str, Any]:
    """The DAG folder as a DAG processor with these variables sees it."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "SEURON_CLUSTER"))},
        **settings,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": NO_DATABASE,
        "PYTHONPATH": str(PROJECT),
    }
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(PROJECT / "dags")],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("FACTS"))
    facts: dict[str, Any] = json.loads(line.removeprefix("FACTS"))
    return facts
