"""Contingency tables: equal to counting pairs one by one, and additive over any split."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from seuron.errors import DataError
from seuron.evaluation import ContingencyTable, contingency, merge
from seuron.storage import Storage
from seuron.storage.tables import read_table, write_table

#: Ids at the places where packing could go wrong: around 2^32 and at the end of 64 bits.
NUMBERS = [0, 1, 2, 7, 2**32 - 1, 2**32, 2**63, 2**64 - 1]
IDS = st.sampled_from(NUMBERS)
shapes = hnp.array_shapes(min_dims=3, max_dims=3, min_side=0, max_side=6)


@st.composite
def label_pairs(draw: st.DrawFn) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    shape = draw(shapes)
    arrays = [draw(hnp.arrays(np.uint64, shape, elements=IDS)) for _ in range(2)]
    order = draw(st.sampled_from(["C", "F"]))
    return np.asarray(arrays[0], order=order), np.asarray(arrays[1], order="F")


def slow_table(segmentation: NDArray[Any], truth: NDArray[Any]) -> dict[tuple[int, int], int]:
    """One voxel at a time."""
    return dict(Counter(zip(segmentation.ravel().tolist(), truth.ravel().tolist(), strict=True)))


def as_dict(table: ContingencyTable) -> dict[tuple[int, int], int]:
    pairs = zip(table.segments.tolist(), table.truths.tolist(), strict=True)
    return dict(zip(pairs, table.voxels.tolist(), strict=True))


def same(a: ContingencyTable, b: ContingencyTable) -> bool:
    first, second = a.columns("segment"), b.columns("segment")
    return all(np.array_equal(first[key], second[key]) for key in first)


@given(label_pairs())
def test_a_table_counts_every_pair(pair: tuple[NDArray[np.uint64], NDArray[np.uint64]]) -> None:
    """Sorted, each pair once, any memory order, any 64-bit id."""
    table = contingency(*pair)
    assert as_dict(table) == slow_table(*pair)
    keys = list(as_dict(table))
    assert keys == sorted(set(keys))
    assert table.total == pair[0].size
    assert (table.segments.dtype, table.truths.dtype, table.voxels.dtype) == (np.uint64, np.uint64, np.int64)


@given(label_pairs(), st.integers(0, 6), st.permutations(range(2)))
def test_tables_of_parts_add_up_to_the_whole(
    pair: tuple[NDArray[np.uint64], NDArray[np.uint64]], cut: int, order: list[int]
) -> None:
    """The law that lets each task count its own box, in any order."""
    segmentation, truth = pair
    parts = [contingency(segmentation[:cut], truth[:cut]), contingency(segmentation[cut:], truth[cut:])]
    assert same(merge([parts[i] for i in order]), contingency(segmentation, truth))


@given(label_pairs(), st.permutations(NUMBERS))
def test_a_renamed_table_is_that_of_renamed_labels(
    pair: tuple[NDArray[np.uint64], NDArray[np.uint64]], names: list[int]
) -> None:
    """The law that lets one table of supervoxels stand for every agglomeration; half of the names are shared."""
    segmentation, truth = pair
    new = dict(zip(NUMBERS, names[:4] * 2, strict=True))
    table = contingency(segmentation, truth)
    renamed = table.renamed(np.array([new[i] for i in table.segments.tolist()], np.uint64))
    labels = np.array([new[i] for i in segmentation.ravel().tolist()], np.uint64).reshape(segmentation.shape)
    assert same(renamed, contingency(labels, truth))


def test_merging_nothing_is_an_empty_table() -> None:
    """The neutral element, also where a task had nothing to count."""
    table = contingency(np.ones((2, 2, 2), np.uint8), np.ones((2, 2, 2), np.uint32))
    assert same(merge([]), ContingencyTable.empty())
    assert same(merge([ContingencyTable.empty(), table]), table)


def test_a_table_survives_storage(tmp_path: Path) -> None:
    """Tasks hand tables to each other as Parquet."""
    table = contingency(np.array([[[2**64 - 1, 0]]], np.uint64), np.array([[[5, 2**40]]], np.uint64))
    write_table(Storage(tmp_path), "contingency", table.columns("supervoxel"))
    columns = read_table(Storage(tmp_path), "contingency")
    assert list(columns) == ["supervoxel", "truth", "voxels"]
    assert same(ContingencyTable.from_columns(columns, "supervoxel"), table)


@pytest.mark.parametrize(
    ("segmentation", "truth", "message"),
    [
        (np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 1), np.uint8), "one shape"),
        (np.zeros((2, 2, 2), np.float32), np.zeros((2, 2, 2), np.uint8), "integer ids"),
        (np.zeros((2, 2, 2), np.uint8), np.full((2, 2, 2), -4), "negative id -4"),
    ],
)
def test_arrays_that_are_not_labels_are_refused(segmentation: NDArray[Any], truth: NDArray[Any], message: str) -> None:
    """Scores of an image would be numbers without meaning."""
    with pytest.raises(DataError, match=message):
        contingency(segmentation, truth)
