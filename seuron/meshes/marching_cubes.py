"""The surfaces of all labels of a box, by zmesh's marching cubes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.meshes.surface import LatticeSurface

#: Voxels along a side of a box at most: zmesh packs the coordinates of a corner into one number.
MOST_VOXELS = 511


def label_surfaces(labels: NDArray[Any]) -> Iterator[tuple[int, LatticeSurface]]:
    """The number and the surface of each label but 0, by number.

    `labels` is (X, Y, Z), uint32, in Fortran order. A surface is open where its label reaches an end of the box: there
    it has its corners on the plane through the centres of the last voxels, where the box behind it begins. Corners are
    counted from the centre of the first voxel.
    """
    import zmesh

    mesher = zmesh.Mesher((2.0, 2.0, 2.0))  # half voxels
    mesher.mesh(labels)
    for number in sorted(mesher.ids()):
        found = mesher.get(number, normals=False, reduction_factor=0)
        mesher.erase(number)
        if found.faces is not None and len(found.faces):
            yield int(number), LatticeSurface(found.vertices.astype(np.int32), found.faces)
