"""Sorted tables that are too long for memory, as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from seuron.storage.tables import GROUP_ROWS, Table


def merged(sources: Iterable[Iterable[Table]], key: str = "id") -> Iterator[Table]:
    """The rows of several tables in the order of `key`, a row for each key: the other columns are added."""
    return combined(sources, key, lambda table: reduced(table, (key,)))


def joined(tables: list[Table]) -> Table:
    """The rows of several tables of the same columns, one at least."""
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def _rows(table: Table, start: int, end: int | None) -> Table:
    return {name: column[start:end] for name, column in table.items()}


def combined(
    sources: Iterable[Iterable[Table]], key: str, combine: Callable[[Table], Table], group_rows: int | None = None
) -> Iterator[Table]:
    """The rows of several tables in the order of `key`, those of one key together: `combine` makes one table of them.

    Each source comes in pieces, one at least, sorted by `key`; a key may have several rows, and be at the end of one
    piece and the beginning of the next. `combine` is given whole keys, in any order, and returns rows in order. The
    result comes in row groups of `group_rows` (`GROUP_ROWS`), whatever the pieces: the last is smaller. Of each source
    one piece is in memory, and of the result one row group.
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
