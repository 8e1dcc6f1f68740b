"""A pipeline that nothing else knows of works in every runner and front end.

Its form and DAG, and a run of it through a real Airflow, are in tests/integration/test_toy.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from seuron.box import Box
from seuron.engine.diff import changes_of
from seuron.engine.execute import run_task
from seuron.engine.forecast import compare, forecast
from seuron.engine.gates import GateAnswer, add_answer, stage_key, stages_to_inspect
from seuron.engine.invalidation import invalidate
from seuron.engine.local import run_local
from seuron.engine.progress import stage_progress
from seuron.engine.registry import pipeline_named
from seuron.engine.run import Run
from seuron.engine.setup import parse_run, plan_run
from seuron.errors import ParameterErrors
from seuron.volumes import create_volume, open_volume
from seuron.web.layers import layer_versions
from seuron.web.neuroglancer_state import neuroglancer_state
from seuron.web.snapshot import SnapshotCache
from seuron.web.stage_counts import count_run
from seuron.web.task_details import task_details

BOX = Box((10, 20, 30), (90, 90, 90))
PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline is added as the owner of a deployment adds one."""
    monkeypatch.setenv("SEURON_PIPELINES", "toy=toy_pipeline")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PROJECT), str(PROJECT / "tests")]))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("toy") / "image")
    volume = create_volume(path, BOX, (8.0, 8.0, 40.0), dtype="uint8", block_size=(32, 32, 32), pyramid=False)
    voxels = np.random.default_rng(0).integers(0, 256, BOX.shape).astype(np.uint8)
    volume.write(BOX, np.asfortranarray(voxels))
    return path


def parameters(image: str, output: Path, **values: object):
    return parse_run(pipeline_named("toy"), {"image": image, "output": str(output), **values})


def files_of(folder: Path) -> dict[str, bytes]:
    layer = [path for path in (folder / "bright").rglob("*") if path.is_file() and path.suffix != ".partial"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in layer}


def test_it_is_planned_and_run_and_reported(image: str, tmp_path: Path) -> None:
    """18 cells, their sum and a report: layer, counts, forecast, progress and page are those of the voxels."""
    planned = plan_run(parameters(image, tmp_path / "run"))
    assert [len(stage.tasks) for stage in planned.plan.stages] == [18, 1, 1]
    assert forecast(planned).tasks == 20
    run = run_local(parameters(image, tmp_path / "run"))
    bright = open_volume(image).read(BOX)[..., 0] > 128
    np.testing.assert_array_equal(open_volume(run.layer("bright")).read(BOX)[..., 0], bright)
    total = run.record("total-0-0_0_0")
    assert total is not None
    assert total.counts == {"bright_voxels": np.count_nonzero(bright)}
    assert json.loads((tmp_path / "run" / "run.json").read_text())["pipeline"] == "toy"
    assert all(stage.done == stage.tasks for stage in compare(run).stages)
    assert all(stage.complete for stage in stage_progress(run, since=0.0, now=time.time()))
    page = (tmp_path / "run" / "report.html").read_text()
    assert "toy report" in page
    assert "bright voxels" in page


def test_workers_kills_and_chunks_change_nothing(image: str, tmp_path: Path) -> None:
    """Killed whole and started again, in two processes, in other cells: the same bytes, and nothing twice."""
    whole = run_local(parameters(image, tmp_path / "whole"))
    params = parameters(image, tmp_path / "killed")
    script = (
        "import sys; from seuron.engine.local import run_local; from seuron.engine.registry import pipeline_named; "
        "from seuron.engine.setup import parse_run; import json; "
        "run_local(parse_run(pipeline_named('toy'), json.loads(sys.argv[1])), workers=2)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, params.model_dump_json()], start_new_session=True)
    while len(list((tmp_path / "killed" / "tasks").glob("[!.]*.json"))) < 3:
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = {path.name: path.read_bytes() for path in (tmp_path / "killed" / "tasks").glob("[!.]*.json")}
    run = run_local(params)
    after = {path.name: path.read_bytes() for path in (tmp_path / "killed" / "tasks").glob("[!.]*.json")}
    assert before.items() <= after.items()
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")
    again = run_task(run, "total-0-0_0_0")
    assert again == run.record("total-0-0_0_0")
    other = run_local(parameters(image, tmp_path / "other", cell=(64, 64, 64)))
    np.testing.assert_array_equal(
        open_volume(other.layer("bright")).read(BOX), open_volume(whole.layer("bright")).read(BOX)
    )


def test_it_is_diffed_invalidated_and_gated(image: str, tmp_path: Path) -> None:
    """A changed level runs all, a stage that is done again runs what follows, a gate asks until it is answered."""
    params = parameters(image, tmp_path / "run", inspect_after="threshold")
    run = run_local(params.model_copy(update={"inspect_after": ()}))
    changed = changes_of(plan_run(parameters(image, tmp_path / "run", level=200)))
    assert [(stage.run, stage.checked, stage.finished) for stage in changed.stages] == [
        (18, 0, 0),
        (0, 1, 0),
        (1, 0, 0),
    ]
    assert changed.reasons["level was 128, now 200"]["threshold"] == 18
    asking = plan_run(params)
    assert stages_to_inspect(asking) == ["threshold"]
    add_answer(run.storage, GateAnswer("threshold", stage_key(asking, "threshold"), "one", "approve", "ada", 1.0))
    assert stages_to_inspect(asking) == []
    assert invalidate(run, "total").tasks == {"total": 1, "report": 1}
    assert [stage.finished for stage in changes_of(plan_run(params)).stages] == [18, 0, 0]


def test_its_pages_show_it(image: str, tmp_path: Path) -> None:
    """Counts, map, details and viewer of the page Volume, from the folder alone."""
    run_local(parameters(image, tmp_path / "run"))
    snapshot = SnapshotCache().get(str(tmp_path / "run"))
    assert snapshot is not None
    counts = count_run(snapshot)
    assert [(stage.name, stage.done, stage.tasks) for stage in counts.stages] == [
        ("threshold", 18, 18), ("total", 1, 1), ("report", 1, 1),
    ]  # fmt: skip
    grid = snapshot.grids["threshold.0"]
    assert grid.shape == (3, 3, 2)
    assert [cell.done for cell in grid.slice_at(0, snapshot.done).cells] == [1] * 9
    details = task_details(snapshot, "threshold-0-1_0_0")
    assert details is not None
    assert details["state"] == "done"
    assert set(layer_versions(snapshot)) == {"image", "bright"}
    state = neuroglancer_state(snapshot, lambda name, version: f"http://here/{name}/{version}")
    assert [layer["name"] for layer in state["layers"]] == ["image", "bright"]
    assert state["layout"]["layers"] == ["image", "bright"]


def seuron(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of the shell, which is the registry's as the bot has it."""
    environment = {**os.environ, "COLUMNS": "200", "SEURON_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "seuron.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT, env=environment)


def test_commands_know_it(image: str, tmp_path: Path) -> None:
    """Explained, checked with all errors at once, run, planned and diffed, with options of its own."""
    assert "--level" in seuron(tmp_path, "run", "toy", "--help").stdout
    assert "voxels above this are bright" in seuron(tmp_path, "params", "explain", "--pipeline", "toy").stdout
    wrong = seuron(tmp_path, "params", "check", "--pipeline", "toy", "level=300", "image=/nothing", "output=/x/y")
    assert wrong.returncode == 2
    assert "`level`" in wrong.stderr
    assert "/nothing" in wrong.stderr
    words = [f"image={image}", f"output={tmp_path / 'run'}"]
    ran = seuron(tmp_path, "run", "toy", "--local", *words)
    assert ran.returncode == 0, ran.stderr
    assert Run.open(str(tmp_path / "run")).record("report-0-0_0_0") is not None
    diff = seuron(tmp_path, "plan", "--pipeline", "toy", "--diff", *words)
    assert diff.returncode == 0, diff.stderr
    assert "threshold" in diff.stdout


def test_names_of_stages_are_checked(image: str, tmp_path: Path) -> None:
    """A stage that cannot be inspected is named with the nearest that can."""
    with pytest.raises(ParameterErrors, match="did you mean 'threshold'"):
        parameters(image, tmp_path, inspect_after="treshold")
