"""A chunk's affinities as the kernels take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abiss_py.dtypes import AffinityType, affinity_type, as_weights
from abiss_py.errors import ArgumentError
from abiss_py.kernels.watershed import INDEX_MASK
from abiss_py.place import Place

Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """Weights of a chunk (flat, x fastest, halo included) and thresholds in the same integers.

    `low` is the largest weight that never joins, `high` the smallest that always does. `sizes` are
    those of the chunk without its halo, `strides` those of the array: rows, planes, channels.
    """

    w: NDArray[Any]
    kind: AffinityType
    place: Place
    low: Any
    high: Any
    sizes: Int64s
    strides: Int64s

    @property
    def weakest(self) -> np.uint64:
        """The largest key of an edge that never joins."""
        return (np.uint64(self.low) << np.uint64(32)) | np.uint64(INDEX_MASK)

    @classmethod
    def of(cls, affinities: NDArray[Any], low: float, high: float, place: Place) -> Grid:
        """Check affinities (X, Y, Z, 3) of a chunk; raises ArgumentError or AffinityError."""
        if affinities.shape != (*place.padded, 3):
            raise ArgumentError(f"affinities have the shape {affinities.shape}; expected {(*place.padded, 3)}")
        if 3 * int(np.prod(place.shape)) > INDEX_MASK:
            raise ArgumentError(f"a chunk of {place.shape} voxels is too large; at most 2^32 / 3 voxels fit")
        kind = affinity_type(affinities.dtype)
        weights, strides = as_weights(affinities)
        return cls(
            w=weights,
            kind=kind,
            place=place,
            low=kind.at_most(low),
            high=kind.at_least(high),
            sizes=np.array(place.shape, np.int64),
            strides=np.array(strides, np.int64),
        )
