"""How many voxels of each semantic class every cluster has."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import compiled


@compiled
def count_classes(labels: NDArray[np.uint32], semantic: NDArray[Any], counts: NDArray[np.int64]) -> int:
    """Add up `counts` (clusters, classes) over flat arrays; returns the first voxel with no such class, or -1.

    Class 0 is none; class k is counted in column k - 1.
    """
    classes = np.uint64(counts.shape[1])
    for voxel in range(labels.size):
        kind = np.uint64(semantic[voxel])
        if kind > classes:
            return voxel
        if kind > 0:
            counts[labels[voxel], np.int64(kind) - 1] += 1
    return -1
