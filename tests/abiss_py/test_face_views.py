"""Closing seams one by one: the same clusters as closing all at once, in whatever order what is left is joined."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import affinity_maps, settings_of_segmentation

import abiss_py
from abiss_py import Mapping, Place, Region
from abiss_py.dtypes import affinity_type

Triple = tuple[int, int, int]


def chunks_of(
    affinities: NDArray[Any], rules: abiss_py.WatershedRules, cuts: list[list[int]]
) -> dict[Triple, abiss_py.ChunkWatershed]:
    """The watershed of every cell of a grid that is cut at these places along x, y and z."""
    whole = affinities.shape[:3]
    found = {}
    for x, y, z in product(*(range(len(c) - 1) for c in cuts)):
        low = (cuts[0][x], cuts[1][y], cuts[2][z])
        place = Place(low, (cuts[0][x + 1], cuts[1][y + 1], cuts[2][z + 1]), whole)
        part = affinities[tuple(slice(a, a + n) for a, n in zip(low, place.padded, strict=True))]
        found[x, y, z] = abiss_py.watershed_chunk(part, rules, place)
    return found


def random_cuts(n: int, random: Any) -> list[int]:
    return sorted({0, n, *(random.randrange(1, n) for _ in range(2) if n > 1)})


@given(affinity_maps(), settings_of_segmentation(), st.randoms())
def test_what_seams_leave_may_be_joined_in_any_order(
    affinities: NDArray[Any], settings_: dict[str, Any], random: Any
) -> None:
    """Each seam alone, then all that is left, with clusters copied into many parts, joined two by two at random."""
    rules = abiss_py.WatershedRules(*(settings_[name] for name in ("high", "low", "size", "dust")))
    kind, whole = affinity_type(affinities.dtype), Place.all_of(affinities.shape[:3])
    chunks = chunks_of(affinities, rules, [random_cuts(n, random) for n in affinities.shape[:3]])
    views = {at: abiss_py.split_views(chunk.region) for at, chunk in chunks.items()}
    history: list[Mapping] = []
    left: list[Region] = []
    seams = list(abiss_py.seams_of_grid({at: chunk.faces for at, chunk in chunks.items()}, kind))
    random.shuffle(seams)
    for at, axis, seam in seams:
        pair = [views[beside(at, axis, -1)].pop((axis, 1)), views[at].pop((axis, 0))]
        merge = abiss_py.merge_regions(pair, [seam], rules, kind)
        left.append(merge.region)
        history.append(merge.mapping)
    left += [view for of_chunk in views.values() for view in of_chunk.values()]
    history += joined(left, random, rules, kind, whole)
    check_names(affinities, settings_, chunks, history)


@given(affinity_maps(), settings_of_segmentation(), st.randoms())
def test_what_lines_leave_may_be_joined_in_any_order(
    affinities: NDArray[Any], settings_: dict[str, Any], random: Any
) -> None:
    """Seams, then the shares of all that meet at a chunk's lines, then all that is left, two by two at random."""
    rules = abiss_py.WatershedRules(*(settings_[name] for name in ("high", "low", "size", "dust")))
    kind, whole = affinity_type(affinities.dtype), Place.all_of(affinities.shape[:3])
    chunks = chunks_of(affinities, rules, [random_cuts(n, random) for n in affinities.shape[:3]])
    views = {at: abiss_py.split_views(chunk.region) for at, chunk in chunks.items()}
    history: list[Mapping] = []
    seams = {at: [] for at in chunks}
    for at, axis, seam in abiss_py.seams_of_grid({at: chunk.faces for at, chunk in chunks.items()}, kind):
        pair = [views[beside(at, axis, -1)].pop((axis, 1)), views[at].pop((axis, 0))]
        merge = abiss_py.merge_regions(pair, [seam], rules, kind)
        seams[at].append(merge.region)
        history.append(merge.mapping)
    shares = {}
    for at, chunk in chunks.items():
        merge = abiss_py.merge_regions(seams[at], [], rules, kind, chunk.region.place)
        assert not views[at], "faces that no seam closed"
        shares[at] = abiss_py.split_shares(merge.region)
        history.append(merge.mapping)
    left = []
    for at, chunk in chunks.items():
        met = [shares[at][0]]
        met += [shares[beside(at, axis, -1)][1 + axis] for axis in range(3) if beside(at, axis, -1) in shares]
        merge = abiss_py.merge_regions(met, [], rules, kind, chunk.region.place)
        left.append(merge.region)
        history.append(merge.mapping)
    for at, of_chunk in shares.items():
        for axis in range(3):
            assert beside(at, axis, 1) in shares or not of_chunk[1 + axis].keys.size, "a share that nobody takes"
    history += joined(left, random, rules, kind, whole)
    check_names(affinities, settings_, chunks, history)


def beside(at: Triple, axis: int, step: int) -> Triple:
    x, y, z = (i + step * (axis == other) for other, i in enumerate(at))
    return x, y, z


def joined(
    left: list[Region], random: Any, rules: abiss_py.WatershedRules, kind: abiss_py.AffinityType, whole: Place
) -> list[Mapping]:
    """Join all that is left, two by two in any order, until nothing is open; what each step called things."""
    history = []
    while True:
        random.shuffle(left)
        merge = abiss_py.merge_regions(left[:2], [], rules, kind, whole)
        history.append(merge.mapping)
        if len(left) <= 2:
            break
        left[:2] = [merge.region]
    assert merge.region.keys.size == merge.region.edges.a.size == merge.region.pins.origin.size == 0
    return history


def check_names(
    affinities: NDArray[Any],
    settings_: dict[str, Any],
    chunks: dict[Triple, abiss_py.ChunkWatershed],
    history: list[Mapping],
) -> None:
    """The clusters of one chunk come out."""
    expected = abiss_py.segment(affinities, **settings_, chunk_size=affinities.shape[:3]).supervoxels
    for chunk in chunks.values():
        place = chunk.region.place
        cut = tuple(slice(a, b) for a, b in zip(place.minimum, place.maximum, strict=True))
        np.testing.assert_array_equal(final(history, chunk.keys[chunk.labels]), expected[cut])


def final(history: list[Mapping], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Names after all merges, each of which knows what it merged only.

    A cluster with copies has several names meanwhile: whichever is followed, the end is the same.
    """
    names = {int(i): int(i) for i in np.unique(ids)}
    for mapping in history:
        known = dict(zip(mapping.keys.tolist(), mapping.values.tolist(), strict=True))
        names = {first: known.get(now, now) for first, now in names.items()}
    renamed: NDArray[np.int64] = np.vectorize(names.get, otypes=[np.int64])(ids)
    return renamed


@given(affinity_maps(), settings_of_segmentation(), st.randoms())
def test_views_hold_all_of_a_region(affinities: NDArray[Any], settings_: dict[str, Any], random: Any) -> None:
    """Every edge is in one view; every cluster in one or, counted, in several; every face in its own."""
    rules = abiss_py.WatershedRules(*(settings_[name] for name in ("high", "low", "size", "dust")))
    for chunk in chunks_of(affinities, rules, [random_cuts(n, random) for n in affinities.shape[:3]]).values():
        region, views = chunk.region, abiss_py.split_views(chunk.region)
        edges = abiss_py.Edges.join([view.edges for view in views.values()])
        assert sorted(edges.index) == sorted(region.edges.index)
        copies = dict.fromkeys(region.keys.tolist(), 0)
        for side, view in views.items():
            assert np.isin(view.faces[side].values, view.keys).all()
            assert np.isin(np.concatenate([view.edges.a, view.edges.b]), view.keys).all()
            for key in view.keys.tolist():
                copies[key] += 1
        assert all(copies.values())
        for view in views.values():
            pinned = dict(zip(view.pins.origin.tolist(), np.bitwise_count(view.pins.views).tolist(), strict=True))
            assert pinned == {key: copies[key] for key in view.keys.tolist() if copies[key] > 1}
