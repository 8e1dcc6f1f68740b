"""One real deployment for all tests that can share it, runs that were finished on it, and volumes to run on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import airflow_runs
import numpy as np
import pytest
from airflow_runs import Ended
from api_server import Server, api_server
from scipy.ndimage import gaussian_filter
from watchdog import run_folder
from webhooks import Hook, listening

from seuron.box import Box
from seuron.client import AirflowClient
from seuron.deployment import Deployment, Home
from seuron.engine.local import run_local
from seuron.engine.setup import parse_run
from seuron.notifications.settings import FILE_VARIABLE

PROJECT = Path(__file__).resolve().parents[2]
DAG = "segmentation"

#: Four chunks make 16 tasks: enough to stop a run in its middle, few enough to wait for.
SETTINGS = {"chunk_size": "40,32,64", "batch_chunks": 1, "watershed_high": 0.8, "watershed_size": 20}
SHAPE = (80, 64, 64)

#: What differs between two runs of the same parameters by its nature: paths, clocks, process ids.
OWN_FILES = ("run.json", "report.html", "costs.json", "retries.json", "tasks/", "locks/", "stopped/", "gates/")


#: The fixture that starts a deployment, and the group of the tests that use it: they share a worker.
GROUPS = {"deployment": "airflow", "server": "api-server"}
#: What undoes a fixture that lives until the session ends, by group, or for all of this folder; twice does no harm.
_ENDS: dict[str, Callable[[], object]] = {}
#: What `environment` sets, once it is made.
_VARIABLES: dict[str, str] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of each module that needs a deployment into that deployment's group."""
    here = [item for item in items if isinstance(item, pytest.Function) and item.path.parent == Path(__file__).parent]
    groups = {item.path: group for item in here for fixture, group in GROUPS.items() if fixture in item.fixturenames}
    for item in here:
        if item.path in groups:
            item.add_marker(pytest.mark.xdist_group(groups[item.path]))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Set the environment again where this process ran tests of another folder in between."""
    if _VARIABLES and "environment" not in _ENDS:
        _set_variables()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End a deployment with the last test of its group: it would take a tenth of a core until the end of all tests.

    With the last test of this folder the environment is again as it was.
    """
    if nextitem is None or nextitem.path.parent != Path(__file__).parent:
        over = list(reversed(_ENDS))
    else:
        over = [name for name in _ENDS if name == _group(item) != _group(nextitem)]
    for name in over:
        _ENDS.pop(name)()


def _group(item: pytest.Item) -> str:
    mark = item.get_closest_marker("xdist_group")
    return str(mark.args[0]) if mark else ""


@pytest.fixture(scope="session")
def ends() -> dict[str, Callable[[], object]]:
    """Where such a fixture says how it is undone."""
    return _ENDS


@pytest.fixture(scope="session")
def environment() -> Iterator[dict[str, str]]:
    """The environment of commands: a state folder for the session."""
    # Not pytest's own folder, which it locks to one user: as root, the database runs as another.
    folder = tempfile.mkdtemp(prefix="airflow-", dir=run_folder())
    # The toy pipeline is added as the owner of a deployment adds one.
    paths = os.pathsep.join([str(PROJECT), str(PROJECT / "tests")])
    _VARIABLES.update(SEURON_HOME=folder, PYTHONPATH=paths, COLUMNS="200", SEURON_PIPELINES="toy=toy_pipeline")
    _set_variables()
    yield dict(os.environ)
    if "environment" in _ENDS:
        _ENDS.pop("environment")()
    _VARIABLES.clear()
    shutil.rmtree(folder, ignore_errors=True)


def _set_variables() -> None:
    patch = pytest.MonkeyPatch()
    for name, value in _VARIABLES.items():
        patch.setenv(name, value)
    _ENDS["environment"] = patch.undo


@pytest.fixture(scope="session")
def hook() -> Iterator[Hook]:
    """The webhook that the deployment notifies."""
    with listening() as server:
        yield server


@pytest.fixture(scope="session")
def deployment(environment: dict[str, str], hook: Hook, ends: dict[str, Callable[[], object]]) -> Iterator[Deployment]:
    """Airflow, its database and its scheduler, really running; nothing of them is left afterwards.

    A webhook is notified of all that happens on it.
    """
    home = Home(Path(environment["SEURON_HOME"]))
    file = home.folder / "notifications.toml"
    events = '["failed", "succeeded", "cancelled", "retry"]'
    file.write_text(f'[[notify]]\nhow = "webhook"\naddress = "{hook.address}"\nevents = {events}\n')
    home.settings.write_text(json.dumps(airflow_runs.SETTINGS))
    made, patch = Deployment(home), pytest.MonkeyPatch()
    patch.setenv(FILE_VARIABLE, str(file))

    def end() -> None:
        made.stop()
        patch.undo()

    ends["airflow"] = end
    try:
        made.start(seconds=600)
        yield made
    finally:
        end()


@pytest.fixture
def client(deployment: Deployment) -> Iterator[AirflowClient]:
    """A connection to the deployment."""
    with deployment.client() as made:
        yield made


@pytest.fixture(scope="session")
def server(ends: dict[str, Callable[[], object]]) -> Iterator[Server]:
    """Airflow's API server alone, with passwords."""
    with ExitStack() as stack:
        ends["api-server"] = stack.close
        yield stack.enter_context(api_server())


@pytest.fixture(scope="session")
def affinities(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A volume of smooth random affinities, which make supervoxels of all sizes."""
    from seuron.volumes import create_volume

    random = np.random.default_rng(0)
    smooth = np.stack([gaussian_filter(random.standard_normal(SHAPE), 3) for _ in range(3)], axis=-1)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    path = str(tmp_path_factory.mktemp("input") / "affinities")
    volume = create_volume(path, Box((0, 0, 0), SHAPE), (10.0, 10.0, 10.0), dtype="uint8", channels=3)
    volume.write(volume.box, np.asfortranarray((smooth * 255).astype(np.uint8)))
    return path


@pytest.fixture(scope="session")
def conf(affinities: str) -> Callable[..., dict[str, Any]]:
    """The parameters of a run into a folder."""

    def make(output: Path, **changes: Any) -> dict[str, Any]:
        return {"affinities": affinities, "output": str(output), **SETTINGS, **changes}

    return make


@pytest.fixture(scope="session")
def local_run(
    conf: Callable[..., dict[str, Any]],
    command: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Path]:
    """The output of the local runner for the same parameters, made once for each set of them."""
    made: dict[str, Path] = {}

    def run(**changes: Any) -> Path:
        key = repr(sorted(changes.items()))
        if key not in made:
            made[key] = tmp_path_factory.mktemp("local") / "run"
            settings = [f"{name}={value}" for name, value in conf(made[key], **changes).items()]
            done = command("run", "segmentation", "--local", *settings)
            assert done.returncode == 0, done.stderr
        return made[key]

    return run


@pytest.fixture(scope="session")
def toy_conf(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """The parameters of a run of the toy pipeline into a folder: what tests of Airflow need, with few tasks.

    Four tasks of the stage `threshold`, which `level` decides, one of `total`, one of `report`.
    """
    from seuron.volumes import create_volume

    path, box = str(tmp_path_factory.mktemp("toy") / "image"), Box((0, 0, 0), (64, 64, 32))
    volume = create_volume(path, box, (8.0, 8.0, 8.0), dtype="uint8", block_size=(32, 32, 32), pyramid=False)
    voxels = np.random.default_rng(1).integers(0, 256, box.shape).astype(np.uint8)
    volume.write(box, np.asfortranarray(voxels))

    def make(output: Path, **changes: Any) -> dict[str, Any]:
        return {"image": path, "output": str(output), **changes}

    return make


@pytest.fixture(scope="session")
def toy_run(
    environment: dict[str, str], toy_conf: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """The output of the local runner for the same parameters of the toy pipeline, made once for each set of them."""
    import toy_pipeline

    made: dict[str, Path] = {}

    def run(**changes: Any) -> Path:
        key = repr(sorted(changes.items()))
        if key not in made:
            made[key] = tmp_path_factory.mktemp("local") / "run"
            run_local(parse_run(toy_pipeline.PIPELINE, toy_conf(made[key], **changes)))
        return made[key]

    return run


@pytest.fixture(scope="session")
def command(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a `seuron` command to its end, as a user would."""

    def run(*words: str, seconds: float = 600) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "seuron.cli", *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def results() -> Callable[[Path], dict[str, bytes]]:
    """Every file of a run that its parameters decide, by name; what killed writers left is never read."""

    def read(output: Path) -> dict[str, bytes]:
        files = {path.relative_to(output).as_posix(): path for path in output.rglob("*") if path.is_file()}
        kept = (name for name in files if not name.startswith(OWN_FILES) and not name.endswith(".partial"))
        return {name: files[name].read_bytes() for name in kept}

    return read


@pytest.fixture(scope="session")
def finished_runs(
    deployment: Deployment,
    conf: Callable[..., dict[str, Any]],
    command: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Ended, Ended]:
    """Two runs with different parameters that were done at the same time, `other` by the command: only to look at."""
    folder = tmp_path_factory.mktemp("finished")
    changes: dict[str, Any] = {"agglomeration_threshold": 0.5, "chunk_size": "64,64,64"}
    with deployment.client() as client:
        first = client.trigger(DAG, conf(folder / "cortex"))
        settings = [f"{name}={value}" for name, value in conf(folder / "other", **changes).items()]
        done = command("run", DAG, *settings, seconds=600)
        assert done.returncode == 0, done.stderr
        assert client.wait(DAG, first, seconds=480) == "success", client.task_errors(DAG, first)
        (second,) = [run.run_id for run in client.dag_runs(DAG) if run.output.endswith("/other")]
    return Ended(first, folder / "cortex", {}), Ended(second, folder / "other", changes, done.stdout)


@pytest.fixture(scope="session")
def finished(finished_runs: tuple[Ended, Ended]) -> Ended:
    """The first of them: `cortex`, of four chunks."""
    return finished_runs[0]


@pytest.fixture(scope="session")
def refused(
    deployment: Deployment, conf: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Ended:
    """A run, `broken`, that has failed: its input is not there, which only the checks in Airflow can see."""
    folder = tmp_path_factory.mktemp("refused")
    wrong = {"affinities": str(folder / "nothing")}
    with deployment.client() as client:
        run_id = client.trigger(DAG, conf(folder / "broken", **wrong))
        assert client.wait(DAG, run_id, seconds=240) == "failed"
    return Ended(run_id, folder / "broken", wrong)
