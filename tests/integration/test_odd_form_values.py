"""Odd parameters through the REST call that the form makes, to a real Airflow: one answer, no retry, one note."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from odd_parameters import IMAGE, SETS, make_volumes, odd_values

from seuron.airflow_rest import AirflowClient
from seuron.errors import SeuronError

DAG = "segmentation"
OddSet = tuple[dict[str, Any], list[str]]
#: Each with several problems: of values, paths and volumes, a net, names, a preset, and what is missing.
KINDS: list[OddSet] = [
    ({"preset": "no-such", "mip": -1, "output": None}, ["preset", "mip", "output"]),
    ({"output": "@file.txt/run", "bbox": [0, 0, 0, 5, 5, 5], "chunksize": 1}, ["output", "bbox", "chunksize"]),
    ({**IMAGE, "model": "@other.npz", "ground_truth": "@none"}, ["model", "ground_truth"]),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("volumes")
    make_volumes(found)
    return found


def expect_one_answer(client: AirflowClient, folder: Path, sets: Sequence[OddSet]) -> int:
    """Start a run with each set, all at once; each fails on its first try and its note names every problem.

    Gives how many Airflow refused, naming a parameter: what neither its database nor its tasks can have.
    """
    started, refusals = [], []
    for changes, names in sets:
        try:
            started.append((client.trigger(DAG, odd_values(folder, changes)), names))
        except SeuronError as error:
            refusals.append((str(error), names))
    for run_id, names in started:
        assert client.wait(DAG, run_id, seconds=3600) == "failed", names
        failed = client.task_instances(DAG, run_id, states=["failed"])
        assert [(task.task_id, task.try_number) for task in failed] == [("prepare", 1)], names
        note = client.dag_run(DAG, run_id).note
        problems = [line for line in note.splitlines() if line.startswith("- ")]
        assert len(problems) == len(names), note
        for name in filter(None, names):
            assert any(f"`{name}" in line for line in problems), note
    for refusal, names in refusals:
        assert any(f"Invalid input for param {name}: " in refusal for name in names), refusal
    return len(refusals)


def test_each_kind_has_one_answer(client: AirflowClient, folder: Path) -> None:
    """A wrong preset, or a missing output, hid what else was wrong."""
    assert expect_one_answer(client, folder, KINDS) == 0


def test_what_cannot_be_kept_is_refused_by_name(client: AirflowClient) -> None:
    """NUL, half a surrogate pair and NaN ended in an error that named nothing."""
    for text in ('"a\\u0000b"', '"a\\ud800b"', "NaN", "1e999", "-1e999", "9223372036854775808"):
        body = f'{{"logical_date": null, "conf": {{"model": {text}}}}}'
        headers = {"Content-Type": "application/json"}
        response = client.send("POST", f"/dags/{DAG}/dagRuns", content=body, headers=headers)
        assert response.status_code == 400, response.text
        assert "Invalid input for param model: " in response.json()["detail"]


@pytest.mark.long
def test_every_odd_set_has_one_answer(client: AirflowClient, folder: Path) -> None:
    """All sets of the table in which something is wrong, but for those that no JSON can hold."""

    def is_json(value: Any) -> bool:
        try:
            return bool(json.dumps(value, allow_nan=False))
        except (ValueError, RecursionError):
            return False

    sets = [(changes, names) for changes, names in SETS if names and is_json(changes)]
    assert len(sets) > 150
    expect_one_answer(client, folder, sets)
