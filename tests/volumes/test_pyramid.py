"""Pooling: equal to a slow twin, and the same however the work is split."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from profiles import scaled

from seuron.box import Box, Triple
from seuron.errors import DataError, VolumeError
from seuron.volumes import Volume, create_volume, open_volume
from seuron.volumes.pyramid import (
    build_pyramid,
    downsample,
    downsample_scales,
    pool,
    pyramid_boxes,
    scale_box,
    source_box,
)

Kind = Literal["image", "segmentation"]


def slow_pool(voxels: NDArray[Any], factor: Triple, kind: Kind) -> NDArray[Any]:
    """One cell at a time: the mean rounded half to even, or the smallest of the commonest ids."""
    shape = [-(-s // f) for s, f in zip(voxels.shape, factor, strict=False)]
    pooled = np.zeros((*shape, voxels.shape[3]), voxels.dtype)
    for x, y, z, c in product(*(range(s) for s in pooled.shape)):
        cut = tuple(slice(i * f, (i + 1) * f) for i, f in zip((x, y, z), factor, strict=True))
        cell = voxels[(*cut, c)].ravel()
        if kind == "segmentation":
            values, counts = np.unique(cell, return_counts=True)
            pooled[x, y, z, c] = values[np.argmax(counts)]
        else:
            mean = cell.astype(np.float64).mean()
            pooled[x, y, z, c] = np.rint(mean) if voxels.dtype.kind == "u" else mean
    return pooled


shapes = st.tuples(*[st.integers(1, 9)] * 3)
factors = st.tuples(*[st.sampled_from([1, 2])] * 3)


@given(shapes, factors, st.sampled_from(["uint8", "uint16", "float32", "uint32", "uint64"]), st.integers(0, 2**32))
def test_pooling_equals_the_slow_twin(shape: Triple, factor: Triple, dtype: str, seed: int) -> None:
    """Any size, odd or one voxel, any type, ties included."""
    kind: Kind = "segmentation" if dtype in ("uint32", "uint64") else "image"
    rng = np.random.default_rng(seed)
    channels = 1 if kind == "segmentation" else 3
    voxels = np.asfortranarray(rng.integers(0, 4 if kind == "segmentation" else 256, (*shape, channels)).astype(dtype))
    if dtype == "uint64":
        voxels += np.uint64(2**63)
    pooled = pool(voxels, factor, kind)
    assert pooled.dtype == voxels.dtype
    assert pooled.flags.f_contiguous
    np.testing.assert_allclose(pooled, slow_pool(voxels, factor, kind), rtol=1e-6 if dtype == "float32" else 0)


def _layer(path: Path, box: Box, kind: Kind, block: Triple = (16, 16, 16)) -> tuple[Volume, NDArray[Any]]:
    rng = np.random.default_rng(7)
    dtype = "uint64" if kind == "segmentation" else "uint8"
    coarse = rng.integers(0, 9 if kind == "segmentation" else 256, [-(-s // 3) for s in box.shape])
    voxels = coarse.repeat(3, 0).repeat(3, 1).repeat(3, 2)[tuple(slice(s) for s in box.shape)].astype(dtype)
    volume = create_volume(str(path), box, (8, 8, 8), dtype=dtype, kind=kind, block_size=block)
    volume.write(box, voxels)
    return volume, voxels[..., np.newaxis]


def _stored(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


@pytest.mark.parametrize("kind", ["image", "segmentation"])
@pytest.mark.parametrize("box", [Box((0, 0, 0), (150, 70, 1)), Box((5, -3, 11), (136, 92, 44))])
def test_every_scale_is_the_slow_twin_of_the_one_below(tmp_path: Path, kind: Kind, box: Box) -> None:
    """Odd sizes, one-voxel axes, and corners that no factor divides."""
    volume, below = _layer(tmp_path, box, kind)
    assert volume.scales > 1
    build_pyramid(volume)
    for mip in range(1, volume.scales):
        scale = open_volume(volume.path, mip)
        factor = tuple(2 if s > 1 else 1 for s in below.shape[:3])
        below = slow_pool(below, factor, kind)  # type: ignore[arg-type]
        np.testing.assert_array_equal(scale.read(scale.box), below)


@settings(max_examples=scaled(8))
@given(st.integers(1, 4), st.permutations(range(4)), st.booleans())
def test_the_bytes_do_not_depend_on_the_split(
    tmp_path_factory: pytest.TempPathFactory, blocks: int, order: list[int], twice: bool
) -> None:
    """Any tile size, any order, a tile done twice: the stored files are equal, byte for byte."""
    box = Box((5, -3, 11), (110, 60, 44))
    whole, split = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("split")
    build_pyramid(_layer(whole, box, "segmentation")[0])
    volume, _ = _layer(split, box, "segmentation")
    for mip in range(1, volume.scales):
        target = open_volume(volume.path, mip)
        tiles = sorted(pyramid_boxes(target, tile_blocks=blocks), key=lambda t: order[hash(t) % 4])
        for tile in tiles + (tiles[:1] if twice else []):
            downsample(target, tile)
    assert _stored(split) == _stored(whole)


def test_tasks_of_the_plan_fill_several_scales_from_boxes_of_the_finest(tmp_path: Path) -> None:
    """The planner's way: boxes of `block << scales` voxels of scale 0, in any order, tier by tier."""
    box = Box((5, -3, 11), (145, 62, 30))
    whole, split = tmp_path / "whole", tmp_path / "split"
    build_pyramid(_layer(whole, box, "segmentation", (8, 8, 8))[0])
    volume, _ = _layer(split, box, "segmentation", (8, 8, 8))
    for first, count in ((0, 1), (1, 3)):
        cell = (8 << (first + count),) * 3
        for _, part in reversed(list(box.cells(cell))):
            downsample_scales(volume, part, first, count)
    assert _stored(split) == _stored(whole)


def test_boxes_map_between_scales_and_back(tmp_path: Path) -> None:
    """A coarse box is pooled from exactly the fine voxels whose cells it holds."""
    volume, _ = _layer(tmp_path, Box((5, -3, 11), (110, 60, 44)), "image")
    coarse = open_volume(volume.path, 1)
    assert scale_box(volume, coarse, volume.box) == coarse.box
    assert source_box(volume, coarse, coarse.box) == volume.box
    tiles = list(pyramid_boxes(coarse))
    assert sum(tile.voxels for tile in tiles) == coarse.box.voxels
    sources = [source_box(volume, coarse, tile) for tile in tiles]
    assert sum(part.voxels for part in sources) == volume.box.voxels
    assert [scale_box(volume, coarse, part) for part in sources] == tiles


def test_missing_blocks_below_are_an_error_unless_they_mean_zero(tmp_path: Path) -> None:
    """A pyramid never hides that the scale below is unfinished."""
    box = Box((0, 0, 0), (80, 20, 20))
    volume = create_volume(str(tmp_path), box, (8, 8, 8), dtype="uint8", block_size=(16, 16, 16))
    coarse = open_volume(volume.path, 1)
    with pytest.raises(DataError, match="missing"):
        downsample(coarse, coarse.box)
    downsample(coarse, coarse.box, missing="zero")
    assert not coarse.read(coarse.box).any()


def test_wrong_use_is_refused(tmp_path: Path) -> None:
    """Scale 0 has nothing below it, and tiles lie on the block grid."""
    volume, _ = _layer(tmp_path, Box((0, 0, 0), (150, 70, 40)), "image")
    with pytest.raises(VolumeError, match="scale 0"):
        downsample(volume, volume.box)
    with pytest.raises(VolumeError, match="cuts through"):
        downsample(open_volume(volume.path, 1), Box((0, 0, 0), (20, 20, 20)))
