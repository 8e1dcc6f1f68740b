"""A small finished run, as it lies on disk: cells, their membranes, affinities and labels."""

from __future__ import annotations

import numpy as np
import pytest
from cells import BOX, RESOLUTION, cells, membranes, write_layer
from small_nets import made_up_prediction

from seuron.engine.run import Run
from seuron.pipelines.segmentation import PIPELINE
from seuron.pipelines.segmentation.facts import VolumeFacts
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.volumes.layouts import LayerFormat


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with all layers; image and ground truth lie outside its folder, as a user's own would."""
    return _made(tmp_path_factory, "precomputed")


@pytest.fixture(scope="session")
def ome_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same run with all volumes in OME-Zarr, its input as well."""
    return _made(tmp_path_factory, "ome-zarr")


def _made(tmp_path_factory: pytest.TempPathFactory, layer_format: LayerFormat) -> Run:
    data = tmp_path_factory.mktemp("own data")
    output = tmp_path_factory.mktemp("runs") / "small run"
    truth = cells(BOX.shape, 40, 0)
    affinities = membranes(truth)
    noise = np.random.default_rng(1).normal(0, 18, BOX.shape)
    image = np.clip(affinities.min(axis=-1) * 0.55 + 60 + noise, 0, 255).astype(np.uint8)
    paths = {
        "image": write_layer(data / "image", image, "image", layer_format),
        "truth": write_layer(data / "truth", truth, "segmentation", layer_format),
    }
    for name, voxels in (("supervoxels", truth * 2 + (image > 150)), ("segmentation", truth)):
        write_layer(output / name, voxels.astype(np.uint64), "segmentation", layer_format)
    write_layer(output / "affinities", affinities, "image", layer_format)
    params = SegmentationParams(
        image=paths["image"], ground_truth=paths["truth"], output=str(output), layer_format=layer_format
    )
    run = Run(
        PIPELINE,
        params,
        VolumeFacts(
            BOX,
            RESOLUTION,
            "uint8",
            dict.fromkeys(("affinities", "supervoxels", "segmentation"), 2),
            made_up_prediction(BOX, (256, 256, 256)),
        ),
    )
    run.save()
    for task in run.plan.tasks:  # the names of records say that the layers are written
        run.storage.put(f"tasks/{task.id}.json", b"{}")
    return run
