"""Hypothesis strategies for affinity maps and the parameters of a segmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Triple = tuple[int, int, int]


def shapes(largest: int = 9) -> st.SearchStrategy[Triple]:
    """Small volumes, one-voxel dimensions included."""
    return st.tuples(*(st.integers(1, largest) for _ in range(3)))


@st.composite
def affinity_maps(draw: st.DrawFn, largest: int = 9) -> NDArray[Any]:
    """Affinities (X, Y, Z, 3), float32 or uint8: smooth or full of ties, with and without masked voxels."""
    shape = draw(shapes(largest))
    seed = draw(st.integers(0, 2**32 - 1))
    levels = draw(st.sampled_from([1, 2, 3, 4, 10, 255, 2**24]))
    masked = draw(st.sampled_from([0.0, 0.0, 0.2, 0.6, 1.0]))
    dtype = draw(st.sampled_from([np.float32, np.uint8]))
    random = np.random.default_rng(seed)
    values = random.integers(0, levels + 1, (*shape, 3)) / levels
    values[random.random(shape) < masked] = 0
    values = np.round(values * 255) if dtype == np.uint8 else values
    return np.asfortranarray(values.astype(dtype))


@st.composite
def settings_of_segmentation(draw: st.DrawFn) -> dict[str, Any]:
    """The keyword arguments of `abiss_py.segment`, thresholds that tie with the maps' values among them."""
    low = draw(st.sampled_from([0.0, 0.1, 0.3, 1 / 3]))
    return {
        "high": draw(st.sampled_from([0.5, 0.6, 0.9, 1.0])),
        "low": low,
        "size": draw(st.integers(0, 40)),
        "dust": draw(st.integers(0, 15)),
        "threshold": draw(st.sampled_from([0.0, 0.1, 0.3, 0.5, 2 / 3, 1.0])),
    }
