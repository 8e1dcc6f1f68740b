"""A pipeline that nothing else knows of, through a real Airflow: its form, its DAG, its pages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seuron.airflow_rest import AirflowClient
from seuron.box import Box
from seuron.deployment import Deployment
from seuron.engine.run import Run
from seuron.volumes import create_volume, open_volume

BOX = Box((10, 20, 30), (74, 84, 62))


@pytest.fixture
def image(tmp_path: Path) -> str:
    path, size = str(tmp_path / "image"), (32, 32, 32)
    volume = create_volume(path, BOX, (8.0, 8.0, 40.0), block_size=size, dtype="uint8", pyramid=False)
    voxels = np.random.default_rng(1).integers(0, 256, BOX.shape).astype(np.uint8)
    volume.write(BOX, np.asfortranarray(voxels))
    return volume.path


def test_a_run_goes_through_airflow(deployment: Deployment, client: AirflowClient, image: str, tmp_path: Path) -> None:
    """Its DAG is parsed and its form has its parameters; a run of it ends with the layer and the counts."""
    params = client.send("GET", "/dags/toy/details").json()["params"]
    assert {"image", "level", "cell", "output", "inspect_after"} <= set(params)
    run_id = client.trigger("toy", {"image": image, "output": str(tmp_path / "run"), "level": 100})
    assert client.wait("toy", run_id, seconds=600) == "success"
    run = Run.open(str(tmp_path / "run"))
    bright = open_volume(image).read(BOX)[..., 0] > 100
    np.testing.assert_array_equal(open_volume(run.layer("bright")).read(BOX)[..., 0], bright)
    assert len(run.records()) == len(run.plan.tasks) == 6
