"""Affinities of other tools: one convention in, whatever the map's; and warnings of what cannot be meant."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cells import cells
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_runs import CORNER, make_run, smooth, store

from seuron.box import Box
from seuron.engine.run import Run
from seuron.engine.sections import alerts_of
from seuron.engine.setup import check_run
from seuron.errors import DataError
from seuron.params import parse_parameters
from seuron.pipelines.segmentation import PIPELINE
from seuron.pipelines.segmentation.affinity_input import read_affinities
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.pipelines.segmentation.plausibility import result_warnings
from seuron.pipelines.segmentation.segment_sizes import Sizes
from seuron.volumes import open_volume

SHAPE = (30, 26, 20)
ORDERS = ["".join(order) for order in permutations("xyz")]
#: Each parameter's values, and how a map is written down in the other convention.
CONVENTIONS = list(product(ORDERS, ("backward", "forward"), ("affinities", "boundaries")))


def written(affinities: NDArray[Any], channels: str, edges: str, values: str) -> NDArray[Any]:
    """A map in seuron's convention as a tool of another one would have stored it."""
    found = affinities.copy(order="F")
    if edges == "forward":
        for axis in range(3):
            found[..., axis] = np.roll(found[..., axis], -1, axis)
    if values == "boundaries":
        found = (255 if found.dtype == np.uint8 else 1) - found
    return np.asfortranarray(found[..., ["xyz".index(axis) for axis in channels]].astype(affinities.dtype))


def convention(channels: str, edges: str, values: str) -> dict[str, str]:
    return {"affinity_channels": channels, "affinity_edges": edges, "affinity_values": values}


def params(path: str, output: Path, **changes: Any) -> SegmentationParams:
    values = {"affinities": path, "output": str(output), "block_size": (16, 16, 16), **changes}
    return parse_parameters(SegmentationParams, values)


def opened(found: SegmentationParams) -> Run:
    facts, problems = check_run(found)
    assert facts is not None
    assert not problems
    return Run(PIPELINE, found, facts)


def warnings_of(found: SegmentationParams) -> list[str]:
    return list(PIPELINE.warnings(found, opened(found).facts))


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], str]:
    """One map in every convention; float32 values that can be inverted without rounding."""
    folder, plain = tmp_path_factory.mktemp("maps"), smooth(SHAPE, 3).astype(np.float32) / np.float32(256)
    return {found: store(folder / "-".join(found), written(plain, *found)) for found in CONVENTIONS}


@settings(deadline=None)
@given(st.sampled_from(CONVENTIONS), st.tuples(*[st.integers(0, n - 1) for n in SHAPE]), st.data())
def test_every_box_of_every_convention_reads_the_same(
    maps: dict[tuple[str, str, str], str], chosen: tuple[str, str, str], low: tuple[int, int, int], data: Any
) -> None:
    """Channels, direction and inversion were taken as seuron's own, whatever the tool: each box is the plain map's."""
    high = [data.draw(st.integers(a + 1, n)) for a, n in zip(low, SHAPE, strict=True)]
    box = Box.from_corners((*low, *high)).shifted(CORNER)
    folder = Path("/nowhere")
    plain, other = (opened(params(maps[name], folder, **convention(*name))) for name in (CONVENTIONS[0], chosen))
    found, expected = (read_affinities(run, open_volume(run.layer("affinities")), box).copy() for run in (other, plain))
    for axis in range(3):
        if chosen[1] == "forward" and low[axis] == 0:  # edges that leave the volume, which nobody reads
            face = tuple([slice(0, 1) if other == axis else slice(None) for other in range(3)] + [axis])
            found[face] = expected[face] = 0
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("chosen", "chunks"),
    [
        (("zyx", "forward", "boundaries"), {"chunk_size": (13, 12, 11), "batch_chunks": 1}),
        pytest.param(("yzx", "forward", "affinities"), {"chunk_size": (9, 26, 7)}, marks=pytest.mark.long),
        pytest.param(("zxy", "backward", "boundaries"), {"chunk_size": (64, 64, 64)}, marks=pytest.mark.long),
    ],
)
def test_a_run_in_another_convention_gives_the_same_bytes(
    maps: dict[tuple[str, str, str], str], tmp_path: Path, chosen: tuple[str, str, str], chunks: dict[str, Any]
) -> None:
    """A permuted, shifted and inverted map, named so, is segmented as the plain one, in other chunks."""
    plain = make_run(tmp_path / "plain", maps[CONVENTIONS[0]], None, chunk_size=(64, 64, 64))
    other = make_run(tmp_path / "other", maps[chosen], None, **convention(*chosen), **chunks)
    for layer in ("supervoxels", "segmentation"):
        voxels = [open_volume(run.layer(layer)) for run in (plain, other)]
        np.testing.assert_array_equal(*(volume.read(volume.box) for volume in voxels))
    assert len(np.unique(voxels[0].read(voxels[0].box))) > 5


def test_a_missing_block_has_no_edges_in_any_convention(tmp_path: Path) -> None:
    """Zeros of a missing block, inverted, would be one large object."""
    path = store(tmp_path / "map", np.full((32, 16, 16, 3), 40, np.uint8))
    volume = open_volume(path)
    for block in volume.blocks(Box.from_shape(CORNER, (16, 16, 16))):
        (tmp_path / "map" / volume.block_name(block)).unlink()
    run = opened(params(path, tmp_path / "run", affinity_values="boundaries", missing_blocks="zero"))
    found = read_affinities(run, volume, volume.box)
    assert (found[:16] == 0).all()
    assert (found[16:] == 215).all()


def test_roundings_are_clipped_and_nothing_else(tmp_path: Path) -> None:
    """Values a rounding above 1 or below 0 ended a run; what lies farther out is an error, with its place."""
    affinities = smooth(SHAPE, 4).astype(np.float32) / np.float32(255)
    affinities[3, 4, 5, 0], affinities[6, 7, 8, 1] = 1 + 5e-4, -5e-4
    run = make_run(tmp_path / "run", store(tmp_path / "near", affinities), None)
    affinities[3, 4, 5, 0], affinities[6, 7, 8, 1] = 1, 0
    plain = make_run(tmp_path / "plain", store(tmp_path / "plain-map", affinities), None)
    found, expected = (open_volume(made.layer("segmentation")) for made in (run, plain))
    np.testing.assert_array_equal(found.read(found.box), expected.read(expected.box))
    affinities[3, 4, 5, 0] = 1.01
    moved = written(affinities, "zyx", "forward", "affinities")
    with pytest.raises(DataError, match=r"voxel \(12, 24, 35\), channel 2, is 1\.0"):
        make_run(
            tmp_path / "far", store(tmp_path / "far-map", moved), None, **convention("zyx", "forward", "affinities")
        )


def test_a_wrong_convention_is_warned_of(tmp_path: Path) -> None:
    """A map of another convention that nobody named ran without a word: what it must be is now said at the start."""
    labels = cells((48, 48, 48), 40, 1)
    same = np.stack([(labels == np.roll(labels, 1, axis)) * np.uint8(255) for axis in range(3)], axis=-1)
    for number, (chosen, words) in enumerate(
        (
            (("xyz", "backward", "affinities"), ()),
            (("zyx", "backward", "affinities"), ("`affinity_channels` zyx and `affinity_edges` backward",)),
            (("xyz", "forward", "affinities"), ("`affinity_channels` xyz and `affinity_edges` forward",)),
            (("zyx", "forward", "affinities"), ("`affinity_channels` zyx and `affinity_edges` forward",)),
            (("xyz", "backward", "boundaries"), ("give `affinity_values` boundaries",)),
        )
    ):
        path = store(tmp_path / f"map-{number}", written(same, *chosen))
        found = warnings_of(params(path, tmp_path / "run"))
        assert len([text for text in found if any(word in text for word in words)]) == len(words), found
        assert words or not found
        assert not warnings_of(params(path, tmp_path / "run", **convention(*chosen)))
    same[..., 2] = 0
    (found_one,) = warnings_of(params(store(tmp_path / "map", same), tmp_path / "run"))
    assert "their means along x, y, z" in found_one


def test_a_result_that_cannot_be_right_is_warned_of(tmp_path: Path) -> None:
    """One segment of everything, and nothing but dust, succeeded without a word; reports and summaries now say so."""
    one = make_run(tmp_path / "one", store(tmp_path / "joined", np.full((*SHAPE, 3), 255, np.uint8)), None)
    assert "holds 100% of the labelled voxels" in " ".join(alerts_of(one))
    none = make_run(tmp_path / "none", store(tmp_path / "cut", np.zeros((*SHAPE, 3), np.uint8)), None)
    assert "The segmentation is empty" in " ".join(alerts_of(none))
    assert "The mean of `affinities` is 0.00" in " ".join(alerts_of(none))
    assert "The segmentation is empty" in (tmp_path / "none" / "report.html").read_text()
    ids = np.arange(1, 11, dtype=np.uint64)
    assert not result_warnings(Sizes(ids, np.full(10, 100), 1000, 0))
    assert "nearly all is dust" in " ".join(result_warnings(Sizes(ids, np.full(10, 10), 5000, 0)))
