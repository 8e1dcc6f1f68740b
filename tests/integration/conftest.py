"""A real deployment for the session, in a folder of its own, and small affinity volumes to run on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from seuron.box import Box
from seuron.client import AirflowClient
from seuron.deployment import Deployment, Home

PROJECT = Path(__file__).resolve().parents[2]

#: Four chunks make 16 tasks: enough to stop a run in its middle, few enough to wait for.
SETTINGS = {"chunk_size": "40,32,64", "batch_chunks": 1, "watershed_high": 0.8, "watershed_size": 20}
SHAPE = (80, 64, 64)

#: What differs between two runs of the same parameters by its nature: paths, clocks, process ids.
OWN_FILES = ("run.json", "report.html", "costs.json", "troubles.json", "tasks/", "working/", "stopped/", "gates/")


@pytest.fixture(scope="session")
def environment() -> Iterator[dict[str, str]]:
    """The environment of commands: a state folder for the session, compiled kernels kept between sessions."""
    # Not pytest's own folder, which it locks to one user: as root, the database runs as another.
    folder = tempfile.mkdtemp(prefix="seuron-test-")
    kernels = PROJECT / ".pytest_cache" / "numba"
    kernels.mkdir(parents=True, exist_ok=True)
    added = {"SEURON_HOME": folder, "NUMBA_CACHE_DIR": str(kernels), "PYTHONPATH": str(PROJECT), "COLUMNS": "200"}
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    yield dict(os.environ)
    for name, value in before.items():
        os.environ.pop(name)
        if value is not None:
            os.environ[name] = value
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def deployment(environment: dict[str, str]) -> Iterator[Deployment]:
    """Airflow, its database and its scheduler, really running; nothing of them is left afterwards."""
    made = Deployment(Home(Path(environment["SEURON_HOME"])))
    try:
        made.start(seconds=600)
        yield made
    finally:
        made.stop()


@pytest.fixture
def client(deployment: Deployment) -> Iterator[AirflowClient]:
    """A connection to the deployment."""
    with AirflowClient(deployment.url) as made:
        yield made


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
def command(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a `seuron` command to its end, as a user would."""

    def run(*words: str, seconds: float = 240) -> subprocess.CompletedProcess[str]:
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
