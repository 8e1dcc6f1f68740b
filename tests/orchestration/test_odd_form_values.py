"""The odd sets of parameters, as Airflow takes them from its REST API and hands them to `prepare`, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from odd_parameters import SETS, make_volumes, odd_values

from seuron.errors import PermanentError
from seuron.pipelines.segmentation import PIPELINE

#: Both files of odd parameters load the same libraries, so they share a process.
pytestmark = pytest.mark.xdist_group("odd-parameters")

#: What a run's `prepare` has prepared, or the error that ends it and the note that it leaves; the words of a refusal.
Prepare = Callable[[dict[str, Any]], tuple[str, str]]


class Results:
    """Keeps what a task stores, in place of Airflow's database."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.values[key] = value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("volumes")
    make_volumes(found)
    return found


@pytest.fixture(scope="module")
def prepare(tmp_path_factory: pytest.TempPathFactory) -> Prepare:
    """Airflow's own steps from a request's body to a task's parameters, and then `prepare`'s own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        from airflow.exceptions import ParamValidationError
        from airflow.sdk.definitions.param import ParamsDict, process_params
        from airflow.serialization.serialized_objects import DagSerialization

        from seuron.orchestration.form import form_parameters
        from seuron.orchestration.pipeline_dag import _prepared, pipeline_dag
        from seuron.orchestration.run_notes import KEY

        dag = pipeline_dag(PIPELINE)
    stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    task = dag.get_task("prepare")

    def run(body: dict[str, Any]) -> tuple[str, str]:
        try:
            stored.params.deep_merge(body).validate()
        except ParamValidationError as error:
            return f"refused: {error}", ""
        handed = msgspec.msgpack.decode(msgspec.msgpack.encode(body))
        # A task's process has the DAG's parameters for itself; here they would be changed for the sets to come.
        dag.params, task.params = ParamsDict(form_parameters(PIPELINE)), ParamsDict()
        params = process_params(dag, task, handed, suppress_exception=False)
        results = Results()
        try:
            _prepared(PIPELINE, {"params": params, "ti": results})
        except PermanentError as error:
            return f"failed: {error}", str(results.values[KEY])
        return "prepared", ""

    return run


def can_be_sent(value: Any) -> bool:
    """Whether JSON can be made of a value at all."""
    try:
        json.dumps(value)
    except (ValueError, RecursionError):
        return False
    return True


def is_stored(value: Any) -> bool:
    """Whether PostgreSQL's JSON has such values, and MessagePack such integers."""
    if isinstance(value, dict):
        return all(is_stored(inner) for pair in value.items() for inner in pair)
    if isinstance(value, list):
        return all(map(is_stored, value))
    if isinstance(value, str):
        return not any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in value)
    return not isinstance(value, (int, float)) or -(2**63) <= value < 2**63  # NaN is neither


SENT = [number for number, (changes, _) in enumerate(SETS) if can_be_sent(changes)]


@pytest.mark.parametrize("number", SENT)
def test_prepare_says_what_params_check_says(prepare: Prepare, folder: Path, tmp_path: Path, number: int) -> None:
    """Through the form some problems were told alone: all are in one note, and Airflow refuses what it cannot keep."""
    changes, names = SETS[number]
    new = f"{folder}/new"  # each set that is prepared has one of its own
    values = {
        name: str(tmp_path / "new") if value == new else value for name, value in odd_values(folder, changes).items()
    }
    end, note = prepare(values)
    if not is_stored(values):
        assert end.startswith("refused: Invalid input for param"), end
        assert any(f"param {name}: " in end for name in names), end
    elif not names:
        assert end == "prepared"
    else:
        count = "1 problem " if len(names) == 1 else f"{len(names)} problems "
        assert end.startswith(f"failed: {count}"), end
        for told in (end, note):
            lines = [line for line in told.splitlines() if line.strip().startswith("- ")]
            assert len(lines) == len(names), told
            for name in filter(None, names):
                assert sum(f"`{name}" in line for line in lines) >= names.count(name), told


def test_a_form_with_nothing_in_it_says_all_that_is_missing(prepare: Prepare) -> None:
    """Airflow refused a missing `output` by itself, and the next problem was told after the next try."""
    end, note = prepare({"mip": -1, "preset": "no-such"})
    for name in ("`output` is missing", "`mip`", "`preset`", "`image`", "4 problems"):
        assert name in end
        assert name in note
