"""The contract: what is computed, and that no chunking changes a bit of it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracles import segmentation as oracle
from strategies import affinity_maps, settings_of_segmentation, shapes

import abiss_py
from abiss_py import octree
from abiss_py.dtypes import affinity_type, exact_threshold
from abiss_py.kernels.exact import compare_means, mean_below, mean_exceeds

Triple = tuple[int, int, int]
DEFAULT = {"high": 0.9, "low": 0.1, "size": 10, "dust": 3, "threshold": 0.3}


@given(affinity_maps(), settings_of_segmentation())
def test_segment_is_what_the_definitions_say(affinities: NDArray[Any], rules: dict[str, Any]) -> None:
    """The kernels compute the same ids as the plain sorted-list twin, voxel by voxel."""
    found = abiss_py.segment(affinities, **rules)
    supervoxels, segments, _ = oracle.segment(affinities, **rules)
    np.testing.assert_array_equal(found.supervoxels, supervoxels)
    np.testing.assert_array_equal(found.segments, segments)


@given(affinity_maps(14), settings_of_segmentation(), shapes(8))
@example(np.ones((9, 1, 1, 3), np.float32), DEFAULT, (2, 1, 1))
@example(np.zeros((5, 4, 3, 3), np.uint8), DEFAULT, (2, 2, 2))
def test_no_chunking_changes_a_bit(affinities: NDArray[Any], rules: dict[str, Any], chunk_size: Triple) -> None:
    """Any grid of chunks gives the bytes of one chunk, and the same region graph."""
    whole = abiss_py.segment(affinities, **rules)
    parts = abiss_py.segment(affinities, chunk_size=chunk_size, **rules)
    assert whole.supervoxels.tobytes() == parts.supervoxels.tobytes()
    assert whole.segments.tobytes() == parts.segments.tobytes()
    for name in ("a", "b", "total", "count", "first"):
        np.testing.assert_array_equal(getattr(whole.contacts, name), getattr(parts.contacts, name))


@given(affinity_maps(14), settings_of_segmentation(), shapes(8), st.integers(2, 3))
def test_threads_change_nothing(
    affinities: NDArray[Any], rules: dict[str, Any], chunk_size: Triple, threads: int
) -> None:
    """Slabs on several threads, or chunks on them, give the bytes of one."""
    whole = abiss_py.segment(affinities, **rules)
    for found in (
        abiss_py.segment(affinities, threads=threads, **rules),
        abiss_py.segment(affinities, threads=threads, chunk_size=chunk_size, **rules),
    ):
        assert whole.supervoxels.tobytes() == found.supervoxels.tobytes()
        assert whole.segments.tobytes() == found.segments.tobytes()


@given(affinity_maps(), settings_of_segmentation(), st.sampled_from(["part", "C", "reversed"]))
def test_layout_in_memory_does_not_matter(affinities: NDArray[Any], rules: dict[str, Any], layout: str) -> None:
    """A part of a larger array, and arrays in another order, are read as they are or copied, with one result."""
    if layout == "part":
        around = np.full([n + 3 for n in affinities.shape[:3]] + [3], 1, affinities.dtype, order="F")
        other = around[1:-2, 2:-1, 1:-2]
        other[:] = affinities
    else:
        other = np.ascontiguousarray(affinities) if layout == "C" else affinities[::-1].copy()[::-1]
    found = abiss_py.segment(other, **rules)
    assert abiss_py.segment(affinities, **rules).segments.tobytes() == found.segments.tobytes()


@given(affinity_maps(), settings_of_segmentation())
def test_region_graph_has_every_contact(affinities: NDArray[Any], rules: dict[str, Any]) -> None:
    """Sums, counts and first edges of all pairs are those of the twin."""
    contacts = abiss_py.segment(affinities, **rules).contacts
    ids = abiss_py.segment(affinities, **rules).supervoxels.ravel(order="F").tolist()
    rows = zip(contacts.a, contacts.b, contacts.total, contacts.count, contacts.first, strict=True)
    found = {(int(a), int(b)): [int(total), int(count), int(first)] for a, b, total, count, first in rows}
    assert found == oracle.region_graph(affinities, ids)


@given(affinity_maps(), settings_of_segmentation())
def test_ids_are_their_first_voxels(affinities: NDArray[Any], rules: dict[str, Any]) -> None:
    """An id is 1 + the linear index of the first voxel that has it, in both layers."""
    found = abiss_py.segment(affinities, **rules)
    for layer in (found.supervoxels, found.segments):
        ids, first = np.unique(layer.ravel(order="F"), return_index=True)
        np.testing.assert_array_equal(ids[ids > 0], first[ids > 0] + 1)


@given(affinity_maps(), settings_of_segmentation(), st.randoms())
def test_merging_in_any_order_decides_the_same(affinities: NDArray[Any], rules: dict[str, Any], random: Any) -> None:
    """Regions may be joined in any order and grouping that keeps boxes: slabs one by one, here."""
    size = {name: rules[name] for name in ("high", "low", "size", "dust")}
    watershed, kind = abiss_py.WatershedRules(**size), affinity_type(affinities.dtype)
    nx, ny, nz, _ = affinities.shape
    cuts = sorted({0, nz, *(random.randrange(nz + 1) for _ in range(3))})
    regions, labels, faces = [], [], []
    for low, high in itertools.pairwise(cuts):
        place = abiss_py.Place((0, 0, low), (nx, ny, high), (nx, ny, nz))
        chunk = abiss_py.watershed_chunk(affinities[:, :, low : low + place.padded[2]], watershed, place)
        regions.append(chunk.region)
        faces.append(chunk.faces)
        labels.append(chunk.keys[chunk.labels])
    ids = np.concatenate(labels, axis=2)
    while len(regions) > 1:
        at = random.randrange(len(regions) - 1)
        above = next(face for face in faces if face.place.minimum == regions[at + 1].place.minimum)
        below = next(face for face in faces if face.place.maximum == regions[at].place.maximum)
        seam = abiss_py.seam_of(below, above, 2, kind)
        merge = abiss_py.merge_regions(regions[at : at + 2], [seam], watershed, kind)
        regions[at : at + 2] = [merge.region]
        ids = merge.mapping.follow(ids.ravel()).reshape(ids.shape)
    np.testing.assert_array_equal(ids, abiss_py.segment(affinities, **rules).supervoxels)


@given(st.integers(0, 2**62), st.integers(1, 2**39), st.integers(0, 2**62), st.integers(1, 2**39), st.booleans())
def test_means_compare_exactly(total: int, count: int, other: int, number: int, close: bool) -> None:
    """128-bit comparison of means agrees with fractions, also where float64 cannot tell them apart."""
    if close:
        other, number = (total + 1, count) if total < 2**62 else (total, count)
    left, right = total * number, other * count
    assert compare_means(total, count, other, number) == (left > right) - (left < right)


@given(st.floats(2.0**-30, 1), st.integers(1, 2**30), st.sampled_from([255, 2**24]), st.integers(-1, 1))
def test_threshold_compares_exactly(threshold: float, count: int, scale: int, nudge: int) -> None:
    """A mean on, just above and just below the threshold falls on the right side of it."""
    from fractions import Fraction

    total = max(0, int(Fraction(threshold) * scale * count) + nudge)
    numerator, shift = exact_threshold(threshold, scale)
    assert bool(mean_exceeds(total, count, numerator, shift)) == (Fraction(total, count) > Fraction(threshold) * scale)
    assert bool(mean_below(total, count, numerator, shift)) == (Fraction(total, count) < Fraction(threshold) * scale)


@given(st.floats(0, 1), st.sampled_from([np.uint8, np.float32]))
def test_weights_compare_as_float64_affinities(threshold: float, dtype: type) -> None:
    """`at_least` and `at_most` are the last weights on their side of a threshold."""
    kind = affinity_type(dtype)
    if dtype == np.uint8:
        values = np.arange(256) / 255.0
        assert [i for i in range(256) if values[i] <= threshold][-1] == kind.at_most(threshold)
        assert next(i for i in range(256) if values[i] >= threshold) == kind.at_least(threshold)
        return
    most, least = (np.uint32(w).view(np.float32) for w in (kind.at_most(threshold), kind.at_least(threshold)))
    assert float(most) <= threshold <= float(least)
    assert float(np.nextafter(most, np.float32(2))) > threshold
    assert threshold == 0 or float(np.nextafter(least, np.float32(-1))) < threshold


def test_what_is_not_an_affinity_is_named() -> None:
    """NaN, infinity and numbers outside 0..1 raise an error that names the voxel; -0.0 is zero."""
    for wrong in (np.nan, np.inf, -0.25, 1.5):
        affinities = np.full((4, 3, 2, 3), 0.5, np.float32, order="F")
        affinities[2, 1, 1, 2] = wrong
        with pytest.raises(abiss_py.AffinityError, match=r"voxel \(2, 1, 1\), channel 2"):
            abiss_py.segment(affinities, **DEFAULT)
    zero = np.zeros((4, 3, 2, 3), np.float32)
    assert not abiss_py.segment(-zero, **DEFAULT).segments.any()


@pytest.mark.parametrize(
    ("shape", "dtype", "rules", "words"),
    [
        ((4, 4, 4), np.float32, {}, "expected"),
        ((4, 4, 4, 2), np.float32, {}, "expected"),
        ((4, 4, 4, 3), np.float64, {}, "uint8"),
        ((4, 4, 4, 3), np.uint8, {"low": 0.95}, "low"),
        ((4, 4, 4, 3), np.uint8, {"threshold": 2.0}, "threshold"),
        ((4, 4, 4, 3), np.uint8, {"size": -1}, "size"),
    ],
)
def test_wrong_arguments_are_refused(shape: Any, dtype: Any, rules: dict[str, Any], words: str) -> None:
    """What segment cannot take is refused with what it got and what is allowed."""
    with pytest.raises(abiss_py.ArgumentError, match=words):
        abiss_py.segment(np.zeros(shape, dtype), **{**DEFAULT, **rules})


def test_empty_volumes_are_empty() -> None:
    """A volume without voxels gives one without labels."""
    assert abiss_py.segment(np.zeros((0, 4, 4, 3), np.uint8), **DEFAULT).segments.shape == (0, 4, 4)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("axis", [1, 2])
def test_slabs_are_thinner_where_there_is_more_to_do(dtype: type, axis: int) -> None:
    """Threads share the planes by what they hold: even tissue in halves, and less of what is full of boundaries."""
    one = 255 if dtype is np.uint8 else 1
    even = np.moveaxis(np.full((16, 40, 16, 3), one, dtype), 1, axis)  # the longest axis is cut
    ends = octree._slab_ends(even, 2)
    assert ends[axis] == [20, 40]
    assert [each for other, each in enumerate(ends) if other != axis] == [[16], [16]]
    uneven = even.copy()
    np.moveaxis(uneven, axis, 0)[20:] = 0
    first, last = octree._slab_ends(uneven, 2)[axis]
    assert 25 < first < 32
    assert last == 40


def test_a_plane_is_one_slab() -> None:
    assert octree._slab_ends(np.zeros((16, 1, 1, 3), np.uint8), 3) == ([16], [1], [1])
