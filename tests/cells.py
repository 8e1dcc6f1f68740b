"""Small volumes for tests of what is shown: cells, their membranes as affinities, layers on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from seuron.box import Box, Triple
from seuron.volumes import create_volume, open_volume
from seuron.volumes.layouts import LayerFormat
from seuron.volumes.pyramid import build_pyramid
from seuron.volumes.volume import Kind

BOX = Box((10, 20, 30), (138, 132, 126))
RESOLUTION = (8.0, 8.0, 8.0)


def cells(shape: Triple, count: int, seed: int) -> NDArray[np.uint64]:
    """Voronoi cells of random points, 1 to `count`."""
    from scipy.spatial import cKDTree

    points = np.random.default_rng(seed).random((count, 3)) * shape
    grid = np.stack(np.meshgrid(*(np.arange(s) for s in shape), indexing="ij"), axis=-1)
    return (cKDTree(points).query(grid)[1] + 1).astype(np.uint64)


def membranes(labels: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Affinities (X, Y, Z, 3) that are low between labels."""
    channels = []
    for axis in range(3):
        same = labels == np.roll(labels, 1, axis)
        channels.append(gaussian_filter(same.astype(np.float32), 0.7) * 255)
    return np.stack(channels, axis=-1).astype(np.uint8)


def write_layer(path: Path, voxels: NDArray[Any], kind: Kind, layer_format: LayerFormat = "precomputed") -> str:
    """Store a layer in `BOX` with its pyramid; returns its path."""
    channels = voxels.shape[3] if voxels.ndim == 4 else 1
    form: dict[str, Any] = {"dtype": str(voxels.dtype), "channels": channels, "kind": kind}
    volume = create_volume(str(path), BOX, RESOLUTION, layer_format=layer_format, **form)
    volume.write(BOX, voxels)
    build_pyramid(open_volume(volume.path))
    return volume.path
