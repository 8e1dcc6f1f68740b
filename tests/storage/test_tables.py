"""Laws of tables that are too long for memory: read in pieces, by rows, on disk, and merged."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seuron.storage import Storage, table_merge
from seuron.storage.scratch import on_disk
from seuron.storage.table_merge import joined, merged
from seuron.storage.tables import (
    Table,
    read_on_disk,
    read_pieces,
    read_rows,
    read_table,
    write_groups,
    write_table,
)

#: A table's rows by rising id, cut into pieces, some of them empty.
ids = st.lists(st.lists(st.integers(0, 30), max_size=5), min_size=1, max_size=4)
sources = st.lists(ids, min_size=1, max_size=4)


def in_pieces(lists: list[list[int]]) -> list[Table]:
    """The different ids of some lists, sorted, in as many pieces; `voxels` says how large each is."""
    every = np.array(sorted({number for part in lists for number in part}), np.int64)
    table = {"id": every, "voxels": every * 3 + 1}
    ends = np.linspace(0, every.size, len(lists) + 1).astype(int)
    return [{name: column[a:b] for name, column in table.items()} for a, b in pairwise(ends)]


@given(sources, st.integers(1, 8))
def test_merged_tables_are_all_their_rows_in_order(many: list[list[list[int]]], group_rows: int) -> None:
    """Each id once, by rising ids across pieces of about the size asked for, other columns added."""
    tables = [in_pieces(lists) for lists in many]
    expected: Counter[int] = Counter()
    for table in map(joined, tables):
        expected.update(dict(zip(table["id"].tolist(), table["voxels"].tolist(), strict=True)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_merge, "GROUP_ROWS", group_rows)
        found = list(merged(tables))
    assert found, "no piece, not even an empty one, which says what the columns are"
    whole = joined(found)
    assert whole["id"].tolist() == sorted(expected)
    assert whole["voxels"].tolist() == [expected[number] for number in sorted(expected)]
    assert all(piece["id"].size >= group_rows for piece in found[:-1])


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.data())
def test_rows_are_found_by_their_numbers(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], data: st.DataObject
) -> None:
    """Whatever the row groups, some of them empty."""
    storage, total = Storage(str(tmp_path_factory.mktemp("rows"))), sum(sizes)
    values = np.arange(total) * 7 + 1
    starts = np.cumsum([0, *sizes])
    write_groups(storage, "t", [{"v": values[a:b]} for a, b in pairwise(starts)])
    wanted = np.array(sorted(data.draw(st.sets(st.integers(0, total - 1)) if total else st.just(set()))), np.int64)
    np.testing.assert_array_equal(read_rows(storage, "t", wanted)["v"], values[wanted])


@pytest.mark.parametrize("rows", [0, 1, 2**16, 2**16 + 1, 200_000])
def test_a_table_reads_the_same_in_pieces_and_on_disk(tmp_path: Path, rows: int) -> None:
    """As in one piece, columns of several types; an empty table has its columns too."""
    storage = Storage(str(tmp_path))
    random = np.random.default_rng(1)
    write_table(storage, "t", {"id": random.integers(0, 9, rows), "name": random.integers(0, 9, rows, np.uint32)})
    whole, pieces, disk = read_table(storage, "t"), joined(list(read_pieces(storage, "t"))), read_on_disk(storage, "t")
    for name in ("id", "name"):
        for found in (pieces, disk):
            assert found[name].dtype == whole[name].dtype
            np.testing.assert_array_equal(found[name], whole[name])


def test_an_array_on_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins as zeros, holds what is put in, has no name, and gives its space back with the last reference."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = on_disk((300, 1000), np.int64)
    assert not array.any()
    array[5] = 7
    assert array.sum() == 7000
    assert list(tmp_path.iterdir()) == []

    def mapped() -> int:
        return Path("/proc/self/maps").read_text().count(str(tmp_path))

    part = array[5]
    del array
    assert mapped() == 1
    assert part.sum() == 7000
    del part
    assert mapped() == 0
    assert on_disk(0, np.uint32).dtype == np.uint32


def test_an_array_that_finds_no_room_on_disk_is_an_error() -> None:
    """At once, where it can still be told; not when a page is written, which would kill the process."""
    with pytest.raises(OSError, match=r"File too large|No space left"):
        on_disk(2**63 - 1, np.uint8)
