"""Sorted tables that are too long for memory, as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from seuron.storage.tables import GROUP_ROWS, Table


def merged(sources: Iterable[Iterable[Table]], key: str = "id") -> Iterator[Table]:
    """The rows of several tables in the order of `key`, a row for each key: the other columns are added.

    Each source comes in pieces, one at least, sorted by `key`, which is nowhere twice in it. So does the result.
    Of each source one piece is in memory, and of the result one row group.
    """
    iterators = [iter(source) for source in sources]
    heads = [next(pieces) for pieces in iterators]
    nothing = {name: column[:0] for name, column in heads[0].items()} if heads else None
    waiting: list[Table] = []
    rows, started = 0, False
    while heads := _filled(heads, iterators, key):
        limit = min(int(head[key][-1]) for head in heads)
        ends = [int(np.searchsorted(head[key], limit, side="right")) for head in heads]
        waiting.append(_added([_rows(head, 0, end) for head, end in zip(heads, ends, strict=True)], key))
        heads = [_rows(head, end, None) for head, end in zip(heads, ends, strict=True)]
        rows += waiting[-1][key].size
        if rows >= GROUP_ROWS:
            yield joined(waiting)
            waiting, rows, started = [], 0, True
    if waiting:
        yield joined(waiting)
    elif nothing is not None and not started:
        yield nothing


def joined(tables: list[Table]) -> Table:
    """The rows of several tables of the same columns, one at least."""
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def _filled(heads: list[Table], iterators: list[Iterator[Table]], key: str) -> list[Table]:
    """The next rows of each source that has any; `iterators` loses the others."""
    found = []
    for at in reversed(range(len(iterators))):
        head: Table | None = heads[at]
        while head is not None and head[key].size == 0:
            head = next(iterators[at], None)
        if head is None:
            del iterators[at]
        else:
            found.append(head)
    return found[::-1]


def _rows(table: Table, start: int, end: int | None) -> Table:
    return {name: column[start:end] for name, column in table.items()}


def _added(tables: list[Table], key: str) -> Table:
    table = joined(tables)
    order = np.argsort(table[key], kind="stable")
    keys = table[key][order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return {
        name: keys[starts] if name == key else np.add.reduceat(column[order], starts) for name, column in table.items()
    }


def combined(
    sources: Iterable[Iterable[Table]], key: str, combine: Callable[[Table], Table], group_rows: int | None = None
) -> Iterator[Table]:
    """The rows of several tables in the order of `key`, those of one key together: `combine` makes one table of them.

    Each source comes in pieces, one at least, sorted by `key`; a key may have several rows, and be at the end of one
    piece and the beginning of the next. `combine` is given whole keys, in any order, and returns rows in order. The
    result comes in row groups of `group_rows` (`GROUP_ROWS`), whatever the pieces: the last is smaller.
    """
    size = GROUP_ROWS if group_rows is None else group_rows
    waiting: list[Table] = []
    started = False
    for table in map(combine, _whole_keys([iter(source) for source in sources], key)):
        waiting.append(table)
        while sum(table[key].size for table in waiting) > size:
            rows = joined(waiting)
            yield _rows(rows, 0, size)
            waiting, started = [_rows(rows, size, None)], True
    if waiting and (not started or waiting[-1][key].size):
        yield joined(waiting)


def _whole_keys(sources: list[Iterator[Table]], key: str) -> Iterator[Table]:
    """The rows of several sorted sources, all rows of a key in one table; one table at least."""
    heads = [next(source) for source in sources]
    if heads:
        yield joined([_rows(head, 0, 0) for head in heads])
    open_ = [True] * len(heads)
    while any(open_) or any(head[key].size for head in heads):
        for at, source in enumerate(sources):
            while open_[at] and (heads[at][key].size == 0 or heads[at][key][0] == heads[at][key][-1]):
                piece = next(source, None)
                open_[at] = piece is not None
                heads[at] = heads[at] if piece is None else joined([heads[at], piece])
        ends = [head[key][-1] for head, more in zip(heads, open_, strict=True) if more]
        cuts = [int(np.searchsorted(head[key], min(ends))) if ends else head[key].size for head in heads]
        yield joined([_rows(head, 0, cut) for head, cut in zip(heads, cuts, strict=True)])
        heads = [_rows(head, cut, None) for head, cut in zip(heads, cuts, strict=True)]


def reduced(table: Table, keys: Sequence[str], *, smallest: Sequence[str] = (), largest: Sequence[str] = ()) -> Table:
    """A row for each value of `keys`, in their order: of other columns the least, the largest, or else the sum."""
    if table[keys[0]].size == 0:
        return table
    order = np.lexsort([table[name] for name in reversed(keys)])
    rows = {name: column[order] for name, column in table.items()}
    starts = key_starts(rows, keys)
    ways = {**dict.fromkeys(smallest, np.minimum), **dict.fromkeys(largest, np.maximum)}
    return {
        name: column[starts] if name in keys else ways.get(name, np.add).reduceat(column, starts)
        for name, column in rows.items()
    }


def first_rows(table: Table, keys: Sequence[str], then: Sequence[str]) -> Table:
    """A row for each value of `keys`, in their order: the first in the order of `then`."""
    order = np.lexsort([table[name] for name in reversed([*keys, *then])])
    rows = {name: column[order] for name, column in table.items()}
    starts = key_starts(rows, keys)
    return {name: column[starts] for name, column in rows.items()}


def key_starts(rows: Table, keys: Sequence[str]) -> NDArray[np.int64]:
    """Where each value of `keys` begins in rows that are sorted by them."""
    fresh = np.ones(rows[keys[0]].size, np.bool_)
    fresh[1:] = np.any([rows[name][1:] != rows[name][:-1] for name in keys], axis=0)
    found: NDArray[np.int64] = np.flatnonzero(fresh)
    return found
