"""The histogram of sizes as a picture."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seuron.pipelines.segmentation.segment_sizes import Sizes
from seuron.pipelines.segmentation.size_histogram import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, size_histogram


@given(st.lists(st.integers(1, 10**12), max_size=30))
def test_each_bin_that_holds_segments_has_a_bar(voxels: list[int]) -> None:
    """Whatever the sizes, a bar stands where there are segments and only there, and the fullest bin is the highest."""
    found = np.array(sorted(voxels, reverse=True), np.int64)
    sizes = Sizes(np.arange(len(found), dtype=np.uint64), found, 0, 0)
    pixels = np.asarray(size_histogram(sizes)).astype(int)
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    bins = sizes.bins()
    step = (WIDTH - LEFT - RIGHT) / max(len(bins), 1)
    is_bar = (pixels == (0x3B, 0x7E, 0xA1)).all(axis=2)[TOP : HEIGHT - BOTTOM]
    heights = [int(is_bar[:, round(LEFT + (index + 0.5) * step)].sum()) for index in range(len(bins))]
    assert [height > 0 for height in heights] == [bool(one.segments) for one in bins]
    if bins:
        assert max(heights) == heights[max(range(len(bins)), key=lambda index: bins[index].segments)]
