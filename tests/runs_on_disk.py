"""Small runs on affinities on disk, and what they leave there, for tests of runs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from seuron.box import Box
from seuron.engine.run import Run
from seuron.params import parse_parameters
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.volumes import create_volume, open_volume

CORNER = (10, 20, 30)
RULES = {"high": 0.9, "low": 0.1, "size": 10, "dust": 3, "threshold": 0.3}
SETTINGS = {
    "watershed_high": 0.9,
    "watershed_low": 0.1,
    "watershed_size": 10,
    "watershed_dust": 3,
    "agglomeration_threshold": 0.3,
}


def smooth_affinities(shape: tuple[int, int, int], seed: int = 3) -> NDArray[np.uint8]:
    """A map with blobs of some hundred voxels, uint8, so full of ties."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((*shape, 3)), (2, 2, 2, 0))
    return np.asfortranarray(np.round(255 / (1 + np.exp(-40 * noise + 1))).astype(np.uint8))


def save(path: Path, affinities: NDArray[Any]) -> str:
    """Store affinities as a precomputed volume that does not begin at the origin."""
    box = Box.from_shape(CORNER, affinities.shape[:3])
    volume = create_volume(
        str(path), box, (8, 8, 40), dtype=str(affinities.dtype), channels=3, block_size=(16, 16, 16), pyramid=False
    )
    volume.write(box, affinities)
    return volume.path


def parameters(source: str, output: Path, **changes: Any) -> SegmentationParams:
    values = {"affinities": source, "output": str(output), "block_size": (16, 16, 16), **SETTINGS, **changes}
    return parse_parameters(SegmentationParams, values)


def layers_of(run: Run) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    names = ("supervoxels", "segmentation")
    first, second = (open_volume(run.layer(name)).read(run.facts.box)[..., 0] for name in names)
    return first, second


def bytes_of(folder: Path) -> dict[str, str]:
    """The hash of every stored block and info file of both label layers, all scales."""
    files = [path for layer in ("supervoxels", "segmentation") for path in (folder / layer).rglob("*")]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.is_file() and path.suffix != ".partial"  # what a killed writer left is never read
    }
