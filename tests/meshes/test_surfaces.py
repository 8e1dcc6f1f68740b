"""Surfaces of labels: closed across cells, at every level, and stored to the bit."""

from __future__ import annotations

import itertools

import DracoPy
import numpy as np
import pytest
import zmesh
from hypothesis import given, settings
from hypothesis import strategies as st

from seuron.box import Triple, triple
from seuron.errors import ParameterErrors
from seuron.meshes.files import mesh_file
from seuron.meshes.levels import encoded_fragment, in_curve_order, levels_of_detail
from seuron.meshes.marching_cubes import label_surfaces
from seuron.meshes.simplification import simplified
from seuron.meshes.surface import LatticeSurface, joined

HALF_NM = (8.0, 8.0, 20.0)


def in_cells(labels: np.ndarray, edge: int) -> dict[int, dict[Triple, LatticeSurface]]:
    """The surface of each label in each cell, from the grid's origin, one voxel before the volume."""
    found: dict[int, dict[Triple, LatticeSurface]] = {}
    around = np.pad(labels, (1, edge))
    for place in itertools.product(*(range(n // edge + 1) for n in labels.shape)):
        part = tuple(slice(i * edge, (i + 1) * edge + 1) for i in place)
        for number, surface in label_surfaces(np.asfortranarray(around[part])):
            assert surface.corners.min() >= 0
            assert surface.corners.max() <= 2 * edge
            found.setdefault(number, {})[triple(place)] = surface.shifted([2 * edge * i for i in place])
    return found


def blobs(seed: int, shape: tuple[int, int, int] = (15, 13, 11), labels: int = 3, size: int = 1) -> np.ndarray:
    """Labels at random, in blocks of `size`: of 1, the worst that a surface can meet."""
    coarse = np.random.default_rng(seed).integers(0, labels + 1, [-(-n // size) for n in shape])
    fine = coarse.repeat(size, 0).repeat(size, 1).repeat(size, 2)
    return fine[: shape[0], : shape[1], : shape[2]].astype(np.uint32)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 3]), st.sampled_from([4, 6, 16]), st.sampled_from([0, 10, 60]))
def test_every_level_is_watertight_for_every_cell(seed: int, size: int, edge: int, error: float) -> None:
    """Cells of any size, noise and blocks, any error: no level has an open edge, and none crosses what it must not."""
    for pieces in in_cells(blobs(seed, size=size), edge).values():
        first = {place: simplified(surface, HALF_NM, error, (2 * edge,) * 3) for place, surface in pieces.items()}
        assert joined(list(pieces.values())).open_edges() == 0
        for level, fragments in enumerate(levels_of_detail(first, 4, (edge,) * 3, HALF_NM, error)):
            assert joined(list(fragments.values())).open_edges() == 0
            assert set(fragments) == {triple([i >> level for i in place]) for place in first}
            size_here, middle = 2 * edge << level, edge << level
            for place, surface in fragments.items():
                local = (surface.corners - np.multiply(place, size_here))[surface.triangles]
                assert local.min() >= 0
                assert local.max() <= size_here
                if level:
                    assert not ((local.min(axis=1) < middle) & (local.max(axis=1) > middle)).any()


def test_cells_have_together_the_surface_of_the_whole() -> None:
    """Before it is simplified, the surface of cells is that of one cell: the same triangles, the same volume."""
    labels = blobs(1, size=4)
    whole, parts = in_cells(labels, 20), in_cells(labels, 5)
    assert whole.keys() == parts.keys() == {1, 2, 3}
    for number, pieces in parts.items():
        one, many = joined(list(whole[number].values())), joined(list(pieces.values()))
        assert len(one.triangles) == len(many.triangles) > 100
        assert {tuple(p) for p in one.corners} == {tuple(p) for p in many.corners}
        assert one.volume(HALF_NM) == pytest.approx(many.volume(HALF_NM))


def test_a_surface_is_simplified_within_its_error_and_looks_outwards() -> None:
    """A ball of 1500 triangles and more: fewer by far, about the same volume, no corner far from the ball."""
    x, y, z = np.ogrid[-15:16, -15:16, -6:7]
    ball = ((x * 16) ** 2 + (y * 16) ** 2 + (z * 40) ** 2 <= 220**2).astype(np.uint32)
    surface = in_cells(ball, 40)[1][0, 0, 0]
    few = simplified(surface, HALF_NM, 10, (80, 80, 80))
    assert len(few.triangles) < len(surface.triangles) / 5
    assert few.volume(HALF_NM) == pytest.approx(surface.volume(HALF_NM), rel=0.03)
    assert surface.volume(HALF_NM) == pytest.approx(ball.sum() * 16 * 16 * 40, rel=0.03)
    assert few.open_edges() == 0
    coarse = simplified(surface, HALF_NM, 1e5, (80, 80, 80))
    assert len(coarse.triangles) > 0  # what is there must be seen


def test_an_open_surface_is_found_open() -> None:
    """A closed surface that loses a triangle has three open edges."""
    surface = in_cells(blobs(2, labels=1, size=5), 40)[1][0, 0, 0]
    assert surface.open_edges() == 0
    assert surface._replace(triangles=surface.triangles[1:]).open_edges() == 3


@given(st.lists(st.tuples(*[st.integers(0, 40)] * 3), min_size=1, unique=True))
def test_fragments_are_in_the_order_of_the_curve(places: list[Triple]) -> None:
    """Of two places the later is larger in the axis with the highest differing bit, z before y before x."""
    ordered = in_curve_order(places)
    assert sorted(ordered) == sorted(places)
    for before, after in itertools.pairwise(ordered):
        highest = max(range(3), key=lambda axis: ((before[axis] ^ after[axis]).bit_length(), axis))
        assert before[highest] < after[highest]


def test_a_fragment_holds_whole_numbers_that_meet_those_of_its_neighbour() -> None:
    """Corners on the plane between two fragments are the last of one and the first of the other, in the same places."""
    pieces = in_cells(blobs(3, size=3), 5)[1]
    left, right = ((0, 0, 0), (1, 0, 0))
    steps = {
        place: DracoPy.decode(encoded_fragment(pieces[place], place, (10, 10, 10))).points.astype(int)
        for place in (left, right)
    }
    ends = [{tuple(p[1:]) for p in steps[place] if p[0] == at} for place, at in ((left, 65535), (right, 0))]
    assert ends[0] == ends[1] != set()


@pytest.mark.parametrize("suffix", ["obj", "ply"])
def test_a_file_of_other_tools_holds_the_mesh(suffix: str) -> None:
    """What zmesh reads from the file is what was written; other formats are refused by name."""
    surface = in_cells(blobs(4, labels=1, size=4), 40)[1][0, 0, 0]
    points = surface.corners.astype(np.float32)
    content = mesh_file(points, surface.triangles, suffix)
    read = zmesh.Mesh.from_obj(content) if suffix == "obj" else zmesh.Mesh.from_ply(content)
    np.testing.assert_array_equal(read.vertices, points)
    np.testing.assert_array_equal(read.faces, surface.triangles)
    with pytest.raises(ParameterErrors, match="obj or ply, got 'stl'"):
        mesh_file(points, surface.triangles, "stl")
