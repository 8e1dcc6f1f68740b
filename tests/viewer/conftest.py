"""A small finished run, as it lies on disk: cells, their membranes, affinities and labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from seuron.box import Box, Triple
from seuron.params import SegmentationParams
from seuron.planning import VolumeFacts
from seuron.runs import Run
from seuron.volumes import create_volume, open_volume
from seuron.volumes.precomputed import Kind
from seuron.volumes.pyramid import build_pyramid

BOX = Box((10, 20, 30), (138, 132, 126))
RESOLUTION = (8.0, 8.0, 8.0)


def _cells(shape: Triple, count: int, seed: int) -> NDArray[np.uint64]:
    """Voronoi cells of random points, 1 to `count`."""
    from scipy.spatial import cKDTree

    points = np.random.default_rng(seed).random((count, 3)) * shape
    grid = np.stack(np.meshgrid(*(np.arange(s) for s in shape), indexing="ij"), axis=-1)
    return (cKDTree(points).query(grid)[1] + 1).astype(np.uint64)


def _affinities(labels: NDArray[np.uint64]) -> NDArray[np.uint8]:
    channels = []
    for axis in range(3):
        same = labels == np.roll(labels, 1, axis)
        channels.append(gaussian_filter(same.astype(np.float32), 0.7) * 255)
    return np.stack(channels, axis=-1).astype(np.uint8)


def _write(path: Path, voxels: NDArray[Any], kind: Kind) -> str:
    channels = voxels.shape[3] if voxels.ndim == 4 else 1
    volume = create_volume(str(path), BOX, RESOLUTION, dtype=str(voxels.dtype), channels=channels, kind=kind)
    volume.write(BOX, voxels)
    build_pyramid(open_volume(volume.path))
    return volume.path


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with all layers; image and ground truth lie outside its folder, as a user's own would."""
    data = tmp_path_factory.mktemp("own data")
    output = tmp_path_factory.mktemp("runs") / "small run"
    truth = _cells(BOX.shape, 40, 0)
    affinities = _affinities(truth)
    noise = np.random.default_rng(1).normal(0, 18, BOX.shape)
    image = np.clip(affinities.min(axis=-1) * 0.55 + 60 + noise, 0, 255).astype(np.uint8)
    paths = {"image": _write(data / "image", image, "image"), "truth": _write(data / "truth", truth, "segmentation")}
    for name, voxels in (("supervoxels", truth * 2 + (image > 150)), ("segmentation", truth)):
        _write(output / name, voxels.astype(np.uint64), "segmentation")
    _write(output / "affinities", affinities, "image")
    params = SegmentationParams(image=paths["image"], ground_truth=paths["truth"], output=str(output))
    run = Run(params, VolumeFacts(BOX, RESOLUTION, "uint8", {"segmentation": 2}, "test"))
    run.save()
    return run
