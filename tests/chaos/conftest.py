"""One bench for all scenarios, the bytes to compare with, and the table of what was survived."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chaos.bench import Bench, open_bench
from chaos.results_table import Row, row, write
from chaos.trial import Folder, Trial, results
from scipy.ndimage import gaussian_filter

from seuron.box import Box
from seuron.engine.local import run_local
from seuron.params import parse_parameters
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.volumes import create_volume

PROJECT = Path(__file__).resolve().parents[2]
#: Six leaves make 29 tasks, and faults hit many of them: what takes long is to start workers.
SHAPE = (96, 64, 64)
SETTINGS = {
    "chunk_size": "32,32,64",
    "block_size": "32,32,64",
    "batch_chunks": 1,
    "watershed_high": 0.8,
    "watershed_size": 20,
}
#: What the scenarios of this session did; written down by `make chaos`.
ROWS: list[Row] = []
WRITE_VARIABLE = "SEURON_CHAOS_TABLE"


def note_row(made: Row) -> None:
    """Print a row, and write the table into the page where that was asked for."""
    ROWS.append(made)
    print(f"\n{made}", flush=True)
    if os.environ.get(WRITE_VARIABLE):
        write(ROWS)


@pytest.fixture(scope="session")
def bench() -> Iterator[Bench]:
    """A deployment on a cluster, really running; nothing of it is left afterwards."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server (Debian's redis-server)")
    with open_bench({"PYTHONPATH": str(PROJECT)}) as made:
        yield made


@pytest.fixture(scope="session")
def parameters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Those of all runs: a volume of smooth random affinities, which make supervoxels of all sizes."""
    random = np.random.default_rng(0)
    smooth = np.stack([gaussian_filter(random.standard_normal(SHAPE), 3) for _ in range(3)], axis=-1)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    path = str(tmp_path_factory.mktemp("input") / "affinities")
    volume = create_volume(path, Box((0, 0, 0), SHAPE), (10.0, 10.0, 10.0), dtype="uint8", channels=3)
    volume.write(volume.box, np.asfortranarray((smooth * 255).astype(np.uint8)))
    return {"affinities": path, **SETTINGS}


@pytest.fixture(scope="session")
def reference(parameters: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    """The bytes of a run without Airflow."""
    folder = tmp_path_factory.mktemp("local") / "run"
    run_local(parse_parameters(SegmentationParams, {**parameters, "output": str(folder)}))
    return results(Folder(folder))


@pytest.fixture
def note() -> Callable[[str, Trial, str], None]:
    """Puts a row into the table."""

    def put(fault: str, trial: Trial, result: str) -> None:
        note_row(row(fault, trial.struck, trial.seconds, trial.tried_again(), result))

    return put


@pytest.fixture
def healthy(bench: Bench) -> Iterator[Bench]:
    """The bench, without the faults of the test before and after."""
    bench.heal()
    yield bench
    bench.heal()
