"""Skeletons: traced in cells, joined to what the whole would give."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
from osteoid import Skeleton

from seuron.skeletons.skeleton import ATTRIBUTES, SkeletonPart, Tracing, encoded, trace, whole

NM = (32.0, 32.0, 40.0)
TRACING = Tracing(4, 100, 200, 200)
ORIGIN = (1000.0, 2000.0, -300.0)


def branched() -> np.ndarray:
    """A rod along x of 60 voxels, number 7, with a branch along y; and a short rod far off, number 9."""
    labels = np.zeros((60, 40, 12), np.uint32, order="F")
    labels[:, 8:13, 4:8] = 7
    labels[28:33, 10:38, 4:8] = 7
    labels[2:9, 34:37, 1:3] = 9
    return labels


def parts_of(labels: np.ndarray, edge: int) -> dict[int, list[SkeletonPart]]:
    """The parts of each label in cells along x, each with one voxel of the next."""
    found: dict[int, list[SkeletonPart]] = {}
    for start in range(0, labels.shape[0], edge):
        for number, part in trace(np.asfortranarray(labels[start : start + edge + 1]), NM, TRACING):
            found.setdefault(number, []).append(part.shifted((start, 0, 0)))
    return found


def graph(skeleton: Skeleton) -> networkx.Graph:
    return networkx.Graph([(int(a), int(b)) for a, b in skeleton.edges])


@pytest.mark.parametrize("edge", [60, 20, 15])
def test_cells_are_joined_to_one_tree_with_the_branch(edge: int) -> None:
    """Traced whole or in cells: one piece, no loop, three ends, about the length, and every vertex in its segment."""
    labels = branched()
    parts = parts_of(labels, edge)
    skeleton = whole(7, parts[7], ORIGIN, NM, TRACING)
    tree = graph(skeleton)
    assert networkx.is_tree(tree)
    assert sum(degree == 1 for _, degree in tree.degree) == 3
    assert skeleton.cable_length() == pytest.approx(59 * 32 + 27 * 32, rel=0.1)
    voxels = np.rint((skeleton.vertices - ORIGIN) / NM).astype(int)
    assert (labels[tuple(voxels.T)] == 7).all()
    assert 0 < skeleton.radii.min() <= skeleton.radii.max() <= 5 * 32


def test_the_same_labels_give_the_same_bytes_each_time() -> None:
    """Traced and joined again, a skeleton has the same bytes."""
    parts = parts_of(branched(), 20)[7]
    first, second = (encoded(whole(7, parts, ORIGIN, NM, TRACING)) for _ in range(2))
    assert first == second
    again = parts_of(branched(), 20)[7]
    assert encoded(whole(7, again, ORIGIN, NM, TRACING)) == first


def test_what_is_shorter_than_all_limits_is_kept_rather_than_nothing() -> None:
    """A segment whose skeleton would go with its dust keeps it: what was traced must be seen."""
    parts = parts_of(branched(), 60)[9]
    skeleton = whole(9, parts, ORIGIN, NM, Tracing(4, 100, 5000, 5000))
    assert skeleton.cable_length() > 100


def test_a_skeleton_is_read_as_it_was_stored() -> None:
    """Vertices, edges and radii, in nm; nothing else."""
    skeleton = whole(7, parts_of(branched(), 20)[7], ORIGIN, NM, TRACING)
    read = Skeleton.from_precomputed(encoded(skeleton), segid=7, vertex_attributes=ATTRIBUTES)
    np.testing.assert_array_equal(read.vertices, skeleton.vertices)
    np.testing.assert_array_equal(read.edges, skeleton.edges)
    np.testing.assert_array_equal(read.radius, skeleton.radii)
    assert len(encoded(skeleton)) == 8 + len(read.vertices) * 16 + len(read.edges) * 8
