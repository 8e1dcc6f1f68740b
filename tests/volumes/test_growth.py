"""Layers whose box grows: the blocks that are called otherwise then are removed, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seuron.box import Box
from seuron.storage import Storage
from seuron.volumes import create_volume
from seuron.volumes.growth import remove_stale_blocks, stale_blocks
from seuron.volumes.layouts import LayerLayout
from seuron.volumes.precomputed import volume_info

corners = st.tuples(*(st.integers(-20, 20) for _ in range(3)))
sizes = st.tuples(*(st.integers(1, 150) for _ in range(3)))
more = st.tuples(*(st.integers(0, 70) for _ in range(3)))


def names_of(info: dict[str, Any]) -> set[str]:
    """Every block of every scale, as the slow twin of `stale_blocks` lists them."""
    names = set()
    for scale in info["scales"]:
        box = Box.from_shape(scale["voxel_offset"], scale["size"])
        for _, block in box.cells(scale["chunk_sizes"][0]):
            ranges = (f"{a}-{b}" for a, b in zip(block.minimum, block.maximum, strict=True))
            names.add(f"{scale['key']}/{'_'.join(ranges)}")
    return names


@given(corners, sizes, more, more, st.sampled_from([(8.0, 8.0, 8.0), (4.0, 4.0, 40.0)]))
def test_stale_blocks_are_those_of_the_old_grid_alone(
    corner: tuple[int, int, int],
    size: tuple[int, int, int],
    low: tuple[int, int, int],
    high: tuple[int, int, int],
    voxel: tuple[float, float, float],
) -> None:
    """For any growth, to all sides: what the old metadata names and the new does not."""
    box = Box.from_shape(corner, size)
    before, after = (
        volume_info(b, voxel, dtype="uint64", kind="segmentation", block_size=(32, 32, 32))
        for b in (box, box.grown(low, high))
    )
    assert set(stale_blocks(before, after)) == names_of(before) - names_of(after)
    assert set(stale_blocks(before, before)) == set()


def test_files_of_stale_blocks_are_removed(tmp_path: Path) -> None:
    """A block that the old face cut goes, whole ones stay, and doing it again finds nothing more to do."""
    box = Box((0, 0, 0), (40, 16, 16))
    made = {"dtype": "uint64", "kind": "segmentation", "block_size": (16, 16, 16), "pyramid": False}
    layer = create_volume(str(tmp_path), box, (8, 8, 8), **made)  # type: ignore[arg-type]
    layer.write(box, np.ones(box.shape, np.uint64, order="F"))
    grown = LayerLayout(box.grown((0, 0, 0), (8, 0, 0)), (8, 8, 8), **made)  # type: ignore[arg-type]
    assert remove_stale_blocks(layer.path, grown) == 1
    left = sorted(Storage(layer.path).names("8_8_8/"))
    assert [name.removesuffix(".gz") for name in left] == ["8_8_8/0-16_0-16_0-16", "8_8_8/16-32_0-16_0-16"]
    assert remove_stale_blocks(str(tmp_path / "nothing"), grown) == 0
