"""Labels of voxels from numbers of clusters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from abiss_py.kernels import compiled


@compiled
def paint(
    numbers: NDArray[np.uint32],
    first: NDArray[np.uint64],
    second: NDArray[np.uint64],
    first_layer: NDArray[np.uint64],
    second_layer: NDArray[np.uint64],
) -> None:
    """Write both labels of every voxel: `layer[voxel] = labels[numbers[voxel]]`. All volumes are (X, Y, Z)."""
    nx, ny, nz = numbers.shape
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                number = numbers[x, y, z]
                first_layer[x, y, z] = first[number]
                second_layer[x, y, z] = second[number]
