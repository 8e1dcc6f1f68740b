"""Expected run length of skeletons: by the definition, at its edges, and the same from layers as from arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seuron.box import Box
from seuron.errors import DataError, VolumeError
from seuron.evaluation import TrueSkeleton, evaluate_skeletons, run_lengths
from seuron.evaluation.skeletons import parse_swc
from seuron.volumes import create_volume

#: Three straight nodes 10 nm apart each, per skeleton.
SWC = "# a neurite\n1 0 4 4 20 1 -1\n2 0 12 4 20 1 1\n3 0 20 4 20 1 2\n"


def line(id: int, nodes: int) -> TrueSkeleton:
    steps = np.arange(nodes)
    return TrueSkeleton(id, np.stack([10.0 * steps, 0 * steps, 0 * steps], 1), np.stack([steps[:-1], steps[1:]], 1))


def slow(skeletons: list[TrueSkeleton], segments: list[list[int]], tolerance: int) -> tuple[float, float]:
    """ERL and NERL, an edge at a time."""
    pairs = [(s.id, seg) for s, ids in zip(skeletons, segments, strict=True) for seg in ids]
    often = {pair for pair in pairs if pairs.count(pair) >= tolerance}
    merged = {seg for seg in {seg for _, seg in pairs} if len({s for s, other in often if other == seg}) > 1}
    total = squares = best = 0.0
    for skeleton, ids in zip(skeletons, segments, strict=True):
        runs: dict[int, float] = {}
        own = 0.0
        for a, b in skeleton.edges.tolist():
            length = float(np.linalg.norm(skeleton.nodes[a] - skeleton.nodes[b]))
            own += length
            if ids[a] == ids[b] != 0 and ids[a] not in merged:
                runs[ids[a]] = runs.get(ids[a], 0.0) + length
        total, best = total + own, best + own**2
        squares += sum(run**2 for run in runs.values())
    return squares / total, squares / best


@given(st.lists(st.lists(st.integers(0, 4), min_size=2, max_size=8), min_size=1, max_size=4), st.integers(1, 3))
def test_run_lengths_are_those_of_the_definition(segments: list[list[int]], tolerance: int) -> None:
    """Of any segments and tolerance; shares of the length add up."""
    skeletons = [line(i + 1, len(ids)) for i, ids in enumerate(segments)]
    found = run_lengths(skeletons, [np.array(ids, np.uint64) for ids in segments], tolerance)
    assert (found.erl_nm, found.nerl) == pytest.approx(slow(skeletons, segments, tolerance))
    parts = (found.right_nm, found.split_nm, found.omitted_nm, found.merged_nm)
    assert sum(parts) == pytest.approx(found.length_nm)
    assert 0 <= found.nerl <= 1


def test_a_few_nodes_in_a_neighbour_are_tolerated() -> None:
    """One node of a second skeleton makes no merge at a tolerance of 2, and one at 1; the merge is named."""
    skeletons, segments = [line(1, 5), line(2, 5)], [np.full(5, 7, np.uint64), np.array([7, 9, 9, 9, 9], np.uint64)]
    tolerant, strict = run_lengths(skeletons, segments, 2), run_lengths(skeletons, segments, 1)
    assert (tolerant.merged_nm, tolerant.worst_merges) == (0, [])
    assert (strict.merged_nm, [(m.id, m.skeletons) for m in strict.worst_merges]) == (40, [(7, [1, 2])])
    assert run_lengths(skeletons, [np.full(5, i, np.uint64) for i in (1, 2)]).nerl == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it has no node"),
        ("1 0 1 2 3\n", "line 1 is '1 0 1 2 3'; expected 7 numbers"),
        ("1 0 a 2 3 1 -1\n", "line 1 is"),
        ("1 0 1 2 nan 1 -1\n", "line 1 is"),
        ("1 0 1 2 3 1 9\n", "node 1 has the parent 9, which is no node"),
        ("1 0 1 2 3 1 -1\n1 0 1 2 3 1 -1\n", "two nodes have one number"),
    ],
)
def test_what_is_no_skeleton_is_named(text: str, said: str) -> None:
    """The file, and what is wrong with it."""
    with pytest.raises(DataError, match=f"a.swc is no SWC skeleton: .*{said}"):
        parse_swc(text, 1, "a.swc")


def test_skeletons_are_followed_in_a_layer(tmp_path: Path) -> None:
    """Coordinates are nm; blocks do not matter; what is outside the layer is left out."""
    box = Box.from_shape((0, 0, 0), (4, 4, 4))
    volume = create_volume(
        str(tmp_path / "labels"),
        box,
        (8, 8, 40),
        dtype="uint64",
        kind="segmentation",
        block_size=(2, 2, 2),
        pyramid=False,
    )
    voxels = np.ones((4, 4, 4), np.uint64)
    voxels[2:] = 2
    volume.write(box, voxels)
    (tmp_path / "swc").mkdir()
    (tmp_path / "swc" / "5.swc").write_text(SWC + "4 0 400 4 20 1 3\n")
    found = evaluate_skeletons(volume.path, str(tmp_path / "swc"))
    assert (found.length_nm, found.right_nm, found.split_nm) == (16, 8, 8)
    assert (found.erl_nm, found.nerl) == (4, 0.25)
    (tmp_path / "far.swc").write_text("1 0 900 4 20 1 -1\n2 0 910 4 20 1 1\n")
    with pytest.raises(VolumeError, match="has an edge inside"):
        evaluate_skeletons(volume.path, str(tmp_path / "far.swc"))
    with pytest.raises(DataError, match=r"holds no file that ends in \.swc"):
        evaluate_skeletons(volume.path, str(tmp_path / "labels"))
