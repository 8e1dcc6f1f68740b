"""The queue and scores by skeletons as commands of every front end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow_stand_in import AirflowStandIn
from small_runs import CORNER, blobs, make_run, smooth, store

from seuron.client import DeploymentClient
from seuron.commands import BAD_PARAMETERS, OK, Session, execute
from seuron.engine.run import Run
from seuron.evaluation import evaluate_skeletons
from seuron.storage.tables import read_table

SHAPE = (24, 24, 16)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("proofreading")
    truth = store(folder / "truth", blobs(SHAPE, 1))
    return make_run(folder / "run", store(folder / "affinities", smooth(SHAPE, 2)), truth)


@pytest.fixture
def session(run: Run) -> Iterator[Session]:
    """Somebody in a chat of a deployment that knows the run."""
    with AirflowStandIn() as airflow:
        airflow.end(airflow.begin({"output": run.output})["dag_run_id"])
        yield Session(DeploymentClient(airflow.url), "eve", permissions=frozenset({"look", "run"}))


def test_the_queue_is_written_and_shown(run: Run, session: Session) -> None:
    """The first rows as a table, all that were asked for in the run's folder; wrong numbers are named."""
    folder = run.output.removeprefix("file://")
    answer = execute(session, ["proofread", folder, "most=30"])
    assert answer.code == OK, answer.text
    assert answer.data == {"decisions": 30, "table": f"{run.output}/proofreading/queue.csv"}
    assert "expected" not in answer.text.splitlines()[1]
    assert len(read_table(run.storage, "proofreading/queue")["a"]) == 30
    assert len((Path(folder) / "proofreading" / "queue.csv").read_text().splitlines()) == 31
    assert execute(session, ["proofread", folder, "most=0"]).code == BAD_PARAMETERS
    assert "on its machine" in execute(session, ["proofread", folder, "view"]).text


def test_scores_by_skeletons_and_with_a_tolerance(run: Run, session: Session, tmp_path: Path) -> None:
    """What the library says, in words and as data; wrong numbers are named all at once."""
    x, y, z = ((c + 2) * nm for c, nm in zip(CORNER, (8, 8, 40), strict=True))
    lines = [f"{i + 1} 0 {x + 8 * i} {y} {z} 1 {i or -1}" for i in range(16)]
    (tmp_path / "7.swc").write_text("\n".join(lines))
    answer = execute(session, ["trace", run.output.removeprefix("file://"), str(tmp_path)])
    assert answer.code == OK, answer.text
    assert answer.data == evaluate_skeletons(run.layer("segmentation"), str(tmp_path)).model_dump(mode="json")
    assert "NERL" in answer.text
    wrong = execute(session, ["trace", run.output, str(tmp_path), "mip=-1", "tolerance=0"])
    assert wrong.code == BAD_PARAMETERS
    assert "`mip`" in wrong.text
    assert "`tolerance`" in wrong.text
    folder = run.output.removeprefix("file://")
    plain, tolerant = (execute(session, ["evaluate", folder, f"boundary={nm}"]) for nm in (0, 8))
    assert tolerant.data["voxels"] < plain.data["voxels"]
    assert "worst merges, segments: " in plain.text
    assert "`boundary`" in execute(session, ["evaluate", folder, "boundary=-1"]).text
