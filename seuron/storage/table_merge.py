"""Sorted tables that are too long for memory, as one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

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
