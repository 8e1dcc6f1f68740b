"""What one chunk says about its clusters and contacts, and the kernels' tables when they must grow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracles import segmentation as oracle
from strategies import affinity_maps, settings_of_segmentation

import abiss_py
from abiss_py import watershed
from abiss_py.grid import Grid
from abiss_py.kernels import region_graph


def whole_chunk(affinities: NDArray[Any], rules: dict[str, Any]) -> abiss_py.ChunkWatershed:
    """The watershed of a map as one chunk."""
    nx, ny, nz, _ = affinities.shape
    own = abiss_py.WatershedRules(**{name: rules[name] for name in ("high", "low", "size", "dust")})
    return abiss_py.watershed_chunk(affinities, own, abiss_py.Place.all_of((nx, ny, nz)))


@contextmanager
def strips_of(voxels: int) -> Iterator[None]:
    """Contacts are counted in strips of about so many voxels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(region_graph, "STRIP", voxels)
        yield


@given(affinity_maps(7), settings_of_segmentation(), st.integers(1, 60))
def test_strongest_edges_are_those_of_the_twin(affinities: NDArray[Any], rules: dict[str, Any], strip: int) -> None:
    """Each contact's strongest edge is the maximum over all voxel edges between the two labels."""
    with strips_of(strip):
        chunk = whole_chunk(affinities, rules)
    strongest = chunk.strongest if affinities.dtype == np.uint8 else chunk.strongest.view(np.float32)
    found = dict(zip(zip(chunk.contacts.a.tolist(), chunk.contacts.b.tolist(), strict=True), strongest, strict=True))
    assert found == oracle.strongest_edges(affinities, chunk.labels.ravel(order="F").tolist())


@given(affinity_maps(7), settings_of_segmentation(), st.integers(1, 60), st.randoms())
def test_boxes_hold_their_clusters_tightly(
    affinities: NDArray[Any], rules: dict[str, Any], strip: int, random: Any
) -> None:
    """Boxes are those of the labels, counted from the chunk's corner, wherever the chunk lies."""
    low = tuple(random.randrange(n) for n in affinities.shape[:3])
    high = tuple(random.randrange(a + 1, n + 1) for a, n in zip(low, affinities.shape, strict=False))
    place = abiss_py.Place((low[0], low[1], low[2]), (high[0], high[1], high[2]), affinities.shape[:3])
    cut = tuple(slice(a, a + n) for a, n in zip(low, place.padded, strict=True))
    own = abiss_py.WatershedRules(**{name: rules[name] for name in ("high", "low", "size", "dust")})
    with strips_of(strip):
        chunk = abiss_py.watershed_chunk(affinities[cut], own, place)
    np.testing.assert_array_equal(chunk.boxes, oracle.boxes(chunk.labels, chunk.keys.size - 1))


def test_tables_grow() -> None:
    """Noise without any rule about sizes has more labels and contacts than the tables begin with room for."""
    random = np.random.default_rng(5)
    affinities = np.asfortranarray(random.random((40, 18, 17, 3), np.float32))
    chunk = whole_chunk(affinities, {"high": 1.0, "low": 0.0, "size": 0, "dust": 0})
    columns = (chunk.contacts.total, chunk.contacts.count, chunk.contacts.first)
    pairs = zip(chunk.contacts.a.tolist(), chunk.contacts.b.tolist(), strict=True)
    found = dict(zip(pairs, zip(*(column.tolist() for column in columns), strict=True), strict=True))
    twin = oracle.region_graph(affinities, chunk.labels.ravel(order="F").tolist())
    assert len(found) > 4096
    assert found == {pair: tuple(row) for pair, row in twin.items()}


@given(affinity_maps(24), st.integers(1, 400), st.integers(1, 600), st.integers(0, 2**32 - 1))
def test_contacts_of_any_labels_are_those_of_the_twin(
    affinities: NDArray[Any], count: int, strip: int, seed: int
) -> None:
    """Labels strewn at random have many pairs for each label, and meet each again and again: none is lost or split."""
    place = abiss_py.Place.all_of((affinities.shape[0], affinities.shape[1], affinities.shape[2]))
    labels = np.random.default_rng(seed).integers(0, count + 1, affinities[..., 0].size).astype(np.uint32)
    given_labels = labels.tolist()
    cluster = np.arange(count + 1, dtype=np.uint32)
    grid = Grid.of(affinities, 0.0, 1.0, place)
    with strips_of(strip):
        contacts, _, _ = watershed._contacts(grid, cluster, count, labels)
    rows = zip(contacts.total.tolist(), contacts.count.tolist(), contacts.first.tolist(), strict=True)
    found = dict(zip(zip(contacts.a.tolist(), contacts.b.tolist(), strict=True), rows, strict=True))
    twin = oracle.region_graph(affinities, given_labels)
    assert found == {pair: tuple(row) for pair, row in twin.items()}


def test_contacts_outgrow_what_labels_let_expect() -> None:
    """The tables begin with room for a few contacts a label, and grow when there are more."""
    random = np.random.default_rng(6)
    affinities = np.asfortranarray(random.random((24, 20, 18, 3), np.float32))
    labels = random.integers(0, 301, affinities[..., 0].size).astype(np.uint32)
    given_labels = labels.tolist()
    grid = Grid.of(affinities, 0.0, 1.0, abiss_py.Place.all_of((24, 20, 18)))
    contacts, _, _ = watershed._contacts(grid, np.arange(301, dtype=np.uint32), 300, labels)
    twin = oracle.region_graph(affinities, given_labels)
    assert len(contacts) == len(twin) > 2 * 4096
    found = zip(contacts.a.tolist(), contacts.b.tolist(), contacts.total.tolist(), strict=True)
    assert {(a, b): total for a, b, total in found} == {pair: row[0] for pair, row in twin.items()}
