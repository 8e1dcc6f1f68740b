"""Affinity targets against slow twins that walk voxel by voxel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seuron.nets.network import NetworkConfig
from seuron.training.targets import (
    NEAREST,
    affinity_targets,
    balance_weights,
    finest_axes,
    grow_boundaries,
    small_bodies,
)

Labels = npt.NDArray[np.uint32]


def labels() -> st.SearchStrategy[Labels]:
    shape = st.tuples(*[st.integers(1, 6)] * 3)
    return hnp.arrays(np.uint32, shape, elements=st.integers(0, 3))


@given(labels())
def test_grown_boundaries_are_voxels_with_a_foreign_neighbour(array: Labels) -> None:
    grown = grow_boundaries(array)
    for place in np.ndindex(array.shape):
        neighbours = []
        for axis in range(3):
            for step in (-1, 1):
                there = list(place)
                there[axis] += step
                if 0 <= there[axis] < array.shape[axis]:
                    neighbours.append(array[tuple(there)])
        foreign = any(n != array[place] for n in neighbours)
        assert grown[place] == (0 if foreign else array[place])


def test_erosion_takes_a_voxel_from_each_side_for_each_step() -> None:
    """Two bodies that touch lose two voxels each; along the axis of thick sections they keep theirs."""
    bodies = np.repeat(np.array([1, 2], np.uint32), 5)
    array = np.broadcast_to(bodies[:, None, None], (10, 3, 3)).copy()
    assert grow_boundaries(array, 2)[:, 0, 0].tolist() == [1, 1, 1, 0, 0, 0, 0, 2, 2, 2]
    assert (grow_boundaries(array, 2, (1, 2)) == array).all()
    assert finest_axes((8, 8, 40)) == (0, 1)
    assert finest_axes((10, 10, 10)) == (0, 1, 2)


@given(labels(), st.integers(0, 99))
def test_affinity_is_about_the_voxel_before(array: Labels, seed: int) -> None:
    """Channel c at v is v and v - e_c, as waterz and the rest of seuron read it; outside is unknown."""
    known = np.random.default_rng(seed).random(array.shape) < 0.8
    affinities, mask = affinity_targets(array, known, NetworkConfig(offsets=(1, 3)).channel_offsets)
    assert affinities.shape == mask.shape == (6, *array.shape)
    for channel, (offset, axis) in enumerate((o, a) for o in (1, 3) for a in range(3)):
        for place in np.ndindex(array.shape):
            before = list(place)
            before[axis] -= offset
            if before[axis] < 0:
                assert not mask[channel][place]
                continue
            same = array[place] == array[tuple(before)] and array[place] != 0
            assert affinities[channel][place] == same
            assert mask[channel][place] == (known[place] and known[tuple(before)])


def test_small_bodies_are_found_by_size_but_never_background() -> None:
    array = np.array([[[1, 1, 1, 2, 0]]], np.uint32)
    np.testing.assert_array_equal(small_bodies(array, 2), [[[False, False, False, True, False]]])


@given(labels(), st.integers(0, 99))
def test_both_classes_weigh_the_same_up_to_the_limit(array: Labels, seed: int) -> None:
    """Else the 10 % of boundary voxels are drowned by the 90 % that are not."""
    affinities, mask = affinity_targets(array, np.ones(array.shape, bool), NEAREST)
    mask &= np.random.default_rng(seed).random(mask.shape) < 0.9
    weights = balance_weights(affinities, mask)
    assert (weights[~mask] == 0).all()
    assert (weights <= 20).all()
    for channel in range(3):
        ones = weights[channel][mask[channel] & (affinities[channel] == 1)]
        zeros = weights[channel][mask[channel] & (affinities[channel] == 0)]
        if len(ones) and len(zeros) and max(ones.max(), zeros.max()) < 20:
            np.testing.assert_allclose(ones.sum(), zeros.sum(), rtol=1e-4)
            np.testing.assert_allclose(ones.sum() + zeros.sum(), mask[channel].sum(), rtol=1e-4)
