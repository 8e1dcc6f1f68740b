"""Where segments touch: the faces between their voxels, counted along each axis, with sums of their places.

All sums are whole numbers, and a face belongs to one voxel, so the contacts of parts of a volume add up to those of the
whole, whatever the parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.dtypes import affinity_type
from abiss_py.errors import AffinityError, ArgumentError
from abiss_py.kernels import contact_faces as kernel
from abiss_py.segment_statistics import Triple, checked_labels

Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class ContactFaces:
    """A row for each two segments that touch, a < b, sorted; 0 is no segment.

    Attributes:
        a, b: uint64.
        faces: (N, 3), how many faces across x, y and z.
        sums: (N, 3, 3), of the faces across each axis the sums of the coordinates of their middles, in half voxels: the
            middle of voxel 0 is at 1, and the face between voxels 0 and 1 at 2.
        least, ends: (N, 3), corners of the box of the voxels at both sides, the end not included.
        affinity: the sum of the faces' affinities, in the steps of their type (`affinity_type(...).scale`).
    """

    a: NDArray[np.uint64]
    b: NDArray[np.uint64]
    faces: Int64s
    sums: Int64s
    least: Int64s
    ends: Int64s
    affinity: Int64s


def contact_faces(
    labels: NDArray[Any],
    core: Triple | None = None,
    low: Triple = (0, 0, 0),
    affinities: NDArray[Any] | None = None,
) -> ContactFaces:
    """The contacts between the segments of an array.

    Args:
        labels: (X, Y, Z), unsigned integers.
        core: how many voxels along each axis are counted from: a face is that of the first of its two voxels. All of
            them without it; with a layer more in `labels` behind the core, faces to it are counted as well.
        low: the coordinates of the first voxel.
        affinities: (X, Y, Z, 3), uint8 or float32 from 0 to 1: of each voxel those to the voxels before it.

    Raises ArgumentError for arrays that do not fit, AffinityError that names the first affinity out of range.
    """
    if affinities is None:
        given, scale = np.zeros((0, 0, 0, 3), np.uint8, order="F"), 1
    else:
        given, scale = _checked_affinities(affinities, labels.shape), affinity_type(affinities.dtype).scale
        scale = 1 if given.dtype == np.uint8 else scale
    whole: Any = labels.shape
    pairs, rows = kernel.count_faces(checked_labels(labels), whole if core is None else core, low, given, scale)
    order = np.lexsort([pairs[:, 1], pairs[:, 0]])
    pairs, rows = pairs[order], rows[order]
    return ContactFaces(
        a=pairs[:, 0],
        b=pairs[:, 1],
        faces=rows[:, kernel.FACES : kernel.SUMS],
        sums=rows[:, kernel.SUMS : kernel.LEAST].reshape(-1, 3, 3),
        least=rows[:, kernel.LEAST : kernel.END],
        ends=rows[:, kernel.END : kernel.AFFINITY],
        affinity=rows[:, kernel.AFFINITY],
    )


def _checked_affinities(affinities: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if affinities.shape != (*shape, 3):
        raise ArgumentError(f"affinities have the shape {affinities.shape}; expected {(*shape, 3)}, as the labels have")
    if affinities.dtype == np.float32:
        wrong = ~((affinities >= 0) & (affinities <= 1))
        if np.any(wrong):
            x, y, z, c = (int(i) for i in np.argwhere(wrong)[0])
            raise AffinityError((x, y, z), c, float(affinities[x, y, z, c]))
    return np.asfortranarray(affinities)
