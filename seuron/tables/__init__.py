"""Intermediate tables: columnar, compressed, checksummed Parquet files, written whole or not at all.

They open in any notebook with `pyarrow.parquet.read_table` or `pandas.read_parquet`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from seuron.errors import RunError
from seuron.storage import Storage

Table = dict[str, NDArray[Any]]


def write_table(storage: Storage, name: str, columns: Mapping[str, NDArray[Any]], *, dictionary: bool = False) -> int:
    """Write equally long columns as `name.parquet`; returns the bytes stored.

    `dictionary` suits columns of few different values.
    """
    table = pa.table({key: pa.array(np.ascontiguousarray(column)) for key, column in columns.items()})
    with storage.writing(f"{name}.parquet") as file:
        pq.write_table(
            table, file, compression="zstd", compression_level=1, use_dictionary=dictionary, write_page_checksum=True
        )
        return file.tell()


def write_groups(
    storage: Storage, name: str, groups: Iterable[Mapping[str, NDArray[Any]]], *, passing: bool = False
) -> int:
    """Write tables of the same columns, one at least, as the row groups of one `name.parquet`; returns its bytes.

    `passing` is for data on their way from many writers to many readers: lz4 is several times as fast as zstd.
    """
    tables = (pa.table({key: pa.array(np.ascontiguousarray(column)) for key, column in g.items()}) for g in groups)
    first = next(tables)
    codec = "lz4" if passing else "zstd"
    options = {"compression": codec, "use_dictionary": False, "write_page_checksum": True}
    with storage.writing(f"{name}.parquet") as file:
        with pq.ParquetWriter(file, first.schema, **options) as writer:
            for table in chain([first], tables):
                writer.write_table(table, row_group_size=max(1, table.num_rows))
        return file.tell()


def count_rows(storage: Storage, name: str) -> int:
    """How many rows `name.parquet` has."""
    with _opened(storage, name) as file:
        return int(file.metadata.num_rows)


def read_groups(storage: Storage, name: str, columns: Sequence[str] | None = None) -> Iterator[Table]:
    """The row groups of `name.parquet`, one at a time."""
    with _opened(storage, name) as file:
        for group in range(file.num_row_groups):
            yield _columns(file.read_row_group(group, columns=columns))


def read_group(storage: Storage, name: str, group: int) -> Table:
    """One row group of `name.parquet`."""
    with _opened(storage, name) as file:
        return _columns(file.read_row_group(group))


def read_table(storage: Storage, name: str) -> Table:
    """The columns of `name.parquet`; raises RunError when it is missing or its checksum is wrong."""
    with _opened(storage, name) as file:
        return _columns(file.read())


@contextmanager
def _opened(storage: Storage, name: str) -> Iterator[pq.ParquetFile]:
    """The file `name.parquet`; raises RunError when it is missing, or damaged where it is read."""
    path = storage.local(f"{name}.parquet")
    content = None if path is not None else storage.get(f"{name}.parquet")
    if path is None and content is None:
        raise RunError(
            f"the table {storage.path}/{name}.parquet is missing; start the run again: it computes what is not there"
        )
    try:
        source = pa.memory_map(str(path)) if path is not None else pa.BufferReader(content)
        with source, pq.ParquetFile(source, page_checksum_verification=True) as file:
            yield file
    except (OSError, pa.ArrowInvalid) as error:
        raise RunError(
            f"the table {storage.path}/{name}.parquet is damaged ({error}); delete it and its task's record, "
            "then start the run again"
        ) from error


def _columns(table: pa.Table) -> Table:
    return {key: table.column(key).to_numpy() for key in table.column_names}
