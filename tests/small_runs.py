"""Small runs on affinities with ground truth, in one chunk or in many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from seuron.box import Box
from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.params import parse_parameters
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.volumes import create_volume

CORNER = (10, 20, 30)
RULES = {"high": 0.9, "low": 0.1, "size": 10, "dust": 3}
THRESHOLD = 0.4


def smooth(shape: tuple[int, int, int], seed: int) -> NDArray[np.uint8]:
    """Affinities (X, Y, Z, 3) with blobs of some hundred voxels, full of ties."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((*shape, 3)), (2, 2, 2, 0))
    return np.asfortranarray(np.round(255 / (1 + np.exp(-40 * noise + 1))).astype(np.uint8))


def blobs(shape: tuple[int, int, int], seed: int) -> NDArray[np.uint32]:
    """Ground truth (X, Y, Z): cells of 8^3 voxels under random ids, some of them 0."""
    cells = np.random.default_rng(seed).integers(0, 12, [-(-n // 8) for n in shape]).astype(np.uint32)
    x, y, z = (np.arange(n) // 8 for n in shape)
    return np.asfortranarray(cells[np.ix_(x, y, z)])


def store(path: Path, voxels: NDArray[Any]) -> str:
    """Store affinities (four axes) or labels as a volume that does not begin at the origin."""
    box = Box.from_shape(CORNER, voxels.shape[:3])
    kind: dict[str, Any] = {"channels": 3} if voxels.ndim == 4 else {"kind": "segmentation"}
    volume = create_volume(
        str(path), box, (8, 8, 40), dtype=str(voxels.dtype), block_size=(16, 16, 16), pyramid=False, **kind
    )
    volume.write(box, voxels)
    return volume.path


def make_run(folder: Path, affinities: str, truth: str | None, **changes: Any) -> Run:
    """A finished run in `folder`; `changes` are parameters."""
    values = {
        "affinities": affinities,
        "ground_truth": truth,
        "output": str(folder),
        "block_size": (16, 16, 16),
        "agglomeration_threshold": THRESHOLD,
        **{f"watershed_{name}": value for name, value in RULES.items()},
        **changes,
    }
    return run_local(parse_parameters(SegmentationParams, values))
