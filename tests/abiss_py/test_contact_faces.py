"""Contacts and statistics of segments: parts add up to the whole, and cc3d finds the same."""

from __future__ import annotations

import cc3d
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abiss_py.contact_faces import contact_faces
from abiss_py.errors import ArgumentError
from abiss_py.segment_statistics import segment_sums


def labels_of(seed: int, shape: tuple[int, int, int], most: int, dtype: type) -> np.ndarray:
    return np.asfortranarray(np.random.default_rng(seed).integers(0, most, shape).astype(dtype))


@given(
    st.integers(0, 99),
    st.tuples(*[st.integers(1, 20)] * 3),
    st.integers(1, 3000),
    st.sampled_from([np.uint8, np.uint32, np.uint64]),
)
def test_contacts_are_those_of_cc3d(seed: int, shape: tuple[int, int, int], most: int, dtype: type) -> None:
    """The number of faces between each two labels, whatever the shape, the type, and how many there are."""
    labels = labels_of(seed, shape, most, dtype)
    found = contact_faces(labels)
    ours = dict(
        zip(zip(found.a.tolist(), found.b.tolist(), strict=True), found.faces.sum(axis=1).tolist(), strict=True)
    )
    theirs = cc3d.contacts(labels.astype(np.uint32), connectivity=6, surface_area=True)
    assert ours == {tuple(map(int, pair)): count for pair, count in theirs.items() if 0 not in pair}


@given(st.integers(0, 99), st.integers(1, 9), st.integers(0, 2))
def test_two_parts_add_up_to_the_whole(seed: int, cut: int, axis: int) -> None:
    """With one layer behind the first part, and coordinates of the whole, no face is lost or counted twice."""
    labels = labels_of(seed, (10, 10, 10), 5, np.uint64)
    whole, total = contact_faces(labels), {}
    for begin, end in ((0, cut), (cut, 10)):
        box = [slice(None)] * 3
        box[axis] = slice(begin, end + 1)
        core, low = [10, 10, 10], [0, 0, 0]
        core[axis], low[axis] = end - begin, begin
        part = contact_faces(labels[tuple(box)], tuple(core), tuple(low))
        for row, pair in enumerate(zip(part.a.tolist(), part.b.tolist(), strict=True)):
            total[pair] = total.get(pair, 0) + np.append(part.faces[row], part.sums[row].ravel())
    assert sorted(total) == list(zip(whole.a.tolist(), whole.b.tolist(), strict=True))
    for row, pair in enumerate(sorted(total)):
        assert total[pair].tolist() == [*whole.faces[row], *whole.sums[row].ravel()]


def test_statistics_are_those_of_cc3d() -> None:
    """Voxels, boxes and centroids, also where the table of segments has to grow."""
    labels = labels_of(3, (30, 20, 20), 5000, np.uint32)
    found, theirs = segment_sums(labels), cc3d.statistics(labels)
    assert found.ids.size > 2048
    np.testing.assert_array_equal(found.voxels, theirs["voxel_counts"][found.ids])
    np.testing.assert_allclose(found.sums / found.voxels[:, None], theirs["centroids"][found.ids], rtol=1e-6)


def test_arrays_that_do_not_fit_are_refused() -> None:
    """Signed labels, and affinities of another shape."""
    with pytest.raises(ArgumentError, match="int64"):
        segment_sums(np.zeros((3, 3, 3), np.int64))
    with pytest.raises(ArgumentError, match="expected"):
        contact_faces(np.ones((3, 3, 3), np.uint64), affinities=np.zeros((3, 3, 2, 3), np.uint8))
