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
from seuron.storage.table_merge import combined, joined, merged, reduced
from seuron.storage.tables import (
    Table,
    read_keys,
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


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3), st.integers(1, 9)), max_size=12), max_size=4),
    st.integers(1, 5),
    st.integers(1, 7),
)
def test_combined_tables_do_not_depend_on_pieces(
    sources: list[list[tuple[int, int, int]]], piece: int, group_rows: int
) -> None:
    """Rows of one key meet whatever pieces they come in, keys across pieces as well; groups are full but the last."""

    def pieces(rows: list[tuple[int, int, int]]) -> list[dict[str, np.ndarray]]:
        columns = np.array(sorted(rows), np.int64).reshape(-1, 3)
        parts = [columns[at : at + piece] for at in range(0, max(1, len(columns)), piece)]
        return [{"a": part[:, 0], "b": part[:, 1], "n": part[:, 2], "most": part[:, 2]} for part in parts]

    def combine(table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return reduced(table, ("a", "b"), largest=("most",))

    groups = list(combined([pieces(rows) for rows in sources], "a", combine, group_rows))
    expected: dict[tuple[int, int], list[int]] = {}
    for a, b, n in (row for rows in sources for row in rows):
        expected.setdefault((a, b), []).append(n)
    found = [row for group in groups for row in zip(*(column.tolist() for column in group.values()), strict=True)]
    assert found == [(a, b, sum(n), max(n)) for (a, b), n in sorted(expected.items())]
    assert all(group["a"].size == group_rows for group in groups[:-1])


@given(st.sets(st.integers(0, 40), max_size=30), st.sets(st.integers(0, 45), max_size=9), st.integers(1, 6))
def test_rows_by_key_are_found_in_every_row_group(
    tmp_path_factory: pytest.TempPathFactory, there: set[int], wanted: set[int], rows: int
) -> None:
    """Groups are left out by their least and largest key only where none of their keys is wanted."""
    ids = np.array(sorted(there), np.uint64)
    groups = [{"id": ids[at : at + rows], "n": ids[at : at + rows] + 1} for at in range(0, max(1, len(ids)), rows)]
    storage = Storage(str(tmp_path_factory.mktemp("keys")))
    write_groups(storage, "table", groups)
    found = read_keys(storage, "table", "id", np.array(sorted(wanted), np.uint64))
    assert found["id"].tolist() == sorted(there & wanted)
    assert found["n"].tolist() == [key + 1 for key in sorted(there & wanted)]
