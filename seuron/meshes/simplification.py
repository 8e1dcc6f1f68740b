"""Surfaces with fewer triangles, by meshoptimizer: edges are collapsed into one of their ends."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_float, c_size_t, c_uint

import numpy as np

from seuron.meshes.surface import LatticeSurface


def simplified(
    surface: LatticeSurface, half_voxel_nm: Sequence[float], error_nm: float, planes: Sequence[int]
) -> LatticeSurface:
    """As few triangles as an error of `error_nm` allows, by meshoptimizer's measure (quadrics, not a hard bound).

    Corners on the planes between cells stay, so that surfaces of neighbours still meet: these are where a coordinate is
    a multiple of `planes`. A surface of which nothing would be left stays as it is: what is there must be seen.
    """
    from meshoptimizer import SIMPLIFY_ERROR_ABSOLUTE, simplify_with_attributes

    if error_nm <= 0 or len(surface.triangles) == 0:
        return surface
    points = np.ascontiguousarray(surface.corners * np.asarray(half_voxel_nm, np.float32), np.float32)
    indices = np.ascontiguousarray(surface.triangles.ravel())
    kept = np.empty_like(indices)
    # Its own option for borders misses edges that are open on one side of several sheets.
    fixed = (surface.corners % np.asarray(planes, np.int32) == 0).any(axis=1)
    count = simplify_with_attributes(
        kept,
        indices,
        points,
        np.zeros((len(points), 0), np.float32),
        np.zeros(0, np.float32),
        # This function of the package does not say what types C expects, so each number says its own.
        index_count=c_size_t(indices.size),
        vertex_count=c_size_t(len(points)),
        vertex_positions_stride=c_size_t(points.strides[0]),
        vertex_attributes_stride=c_size_t(0),
        attribute_count=c_size_t(0),
        vertex_lock=fixed.astype(np.uint8),
        target_index_count=c_size_t(0),
        target_error=c_float(error_nm),
        options=c_uint(SIMPLIFY_ERROR_ABSOLUTE),
    )
    return LatticeSurface(surface.corners, kept[:count].reshape(-1, 3)).compact() if count else surface
