"""Intermediate tables: columnar, compressed, checksummed Parquet files, written whole or not at all.

Those of a finished object are compared with the digests in its manifest when they are first read. In an object store
that is done for what fits into memory; of larger tables each page that is read has its own checksum.

They open in any notebook with `pyarrow.parquet.read_table` or `pandas.read_parquet`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from seuron.errors import DamagedTableError, RunError
from seuron.storage import Storage
from seuron.storage.digests import digest_of_file
from seuron.storage.scratch import on_disk

Table = dict[str, NDArray[Any]]

#: Rows of a row group of a long table, and of a piece that is read of one.
GROUP_ROWS = 2**20
PIECE_ROWS = 2**16


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


def read_pieces(storage: Storage, name: str) -> Iterator[Table]:
    """The rows of `name.parquet` in pieces that are small whatever its row groups; one at least."""
    with _opened(storage, name) as file:
        if file.metadata.num_rows == 0:
            yield _columns(file.read())
        for batch in file.iter_batches(PIECE_ROWS):
            yield _arrays(batch)


def read_rows(storage: Storage, name: str, rows: NDArray[np.int64]) -> Table:
    """Some rows of `name.parquet` by their numbers from 0, which are sorted; row groups without any are not read."""
    with _opened(storage, name) as file:
        found, start = [_columns(file.schema_arrow.empty_table())], 0
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            first, last = np.searchsorted(rows, [start, end])
            if first < last:
                table = _columns(file.read_row_group(group))
                found.append({key: column[rows[first:last] - start] for key, column in table.items()})
            start = end
    return {key: np.concatenate([part[key] for part in found]) for key in found[0]}


def read_keys(storage: Storage, name: str, key: str, wanted: NDArray[Any]) -> Table:
    """The rows of `name.parquet` whose `key` is among `wanted`; both are sorted. Other row groups are not read."""
    with _opened(storage, name) as file:
        column = file.schema_arrow.get_field_index(key)
        found = [_columns(file.schema_arrow.empty_table())]
        for group in range(file.num_row_groups):
            limits = file.metadata.row_group(group).column(column).statistics
            if limits is not None and limits.has_min_max:
                first, last = np.searchsorted(wanted, np.array([limits.min, limits.max], wanted.dtype))
                if first == last and (first == wanted.size or wanted[first] != limits.max):
                    continue
            table = _columns(file.read_row_group(group))
            rows = np.flatnonzero(np.isin(table[key], wanted, assume_unique=True))
            found.append({other: values[rows] for other, values in table.items()})
    return {other: np.concatenate([part[other] for part in found]) for other in found[0]}


def read_on_disk(storage: Storage, name: str) -> Table:
    """The columns of `name.parquet` as arrays on disk (`scratch`), for tables that memory need not hold.

    What fits into one piece stays in memory: most tables are small, and a file on disk for each column costs more.
    """
    with _opened(storage, name) as file:
        rows, start = file.metadata.num_rows, 0
        if rows <= PIECE_ROWS:
            return _columns(file.read())
        columns: Table = {}
        for batch in file.iter_batches(PIECE_ROWS):
            for key, column in _arrays(batch).items():
                columns.setdefault(key, on_disk(rows, column.dtype))[start : start + column.size] = column
            start += batch.num_rows
        return columns


def read_table(storage: Storage, name: str) -> Table:
    """The columns of `name.parquet`; raises RunError when it is missing, DamagedTableError when it is damaged."""
    with _opened(storage, name) as file:
        return _columns(file.read())


def read_checked(storage: Storage, name: str) -> bytes | None:
    """The content of a small file among the tables, None where there is none; raises DamagedTableError."""
    content = storage.get(name)
    if content is not None:
        _check_digest(storage, name, None, BytesIO(content))
    return content


@contextmanager
def _opened(storage: Storage, name: str) -> Iterator[pq.ParquetFile]:
    """The file `name.parquet`; raises RunError when it is missing, DamagedTableError when it is damaged."""
    path = storage.local(f"{name}.parquet")
    stored = storage.reading(f"{name}.parquet") if path is None else None
    if path is None and stored is None:
        raise RunError(
            f"the table {storage.path}/{name}.parquet is missing; start the run again: it computes what is not there"
        )
    _check_digest(storage, f"{name}.parquet", path, stored)
    try:
        source = pa.memory_map(str(path)) if path is not None else pa.PythonFile(stored, mode="r")
        with source, pq.ParquetFile(source, page_checksum_verification=True) as file:
            yield file
    except (OSError, pa.ArrowInvalid) as error:
        if isinstance(error, OSError) and type(error) is not OSError:
            raise  # of the network or the disk; what is wrong with a file's content has no class of its own
        raise _damaged(storage, f"{name}.parquet", str(error)) from error


def _damaged(storage: Storage, name: str, problem: str) -> DamagedTableError:
    remedy = f"delete the folder {storage.path} and start the run again, which makes it again"
    return DamagedTableError(f"{storage.path}/{name}", problem, remedy)


def _check_digest(storage: Storage, name: str, path: Path | None, stored: IO[bytes] | None) -> None:
    """Raise DamagedTableError for a file of an object that is not the one that the object's manifest names."""
    wanted = storage.digest(name)
    if wanted is None:
        return
    if path is not None:
        status = path.stat()
        found = _digest_on_disk(path, status.st_ino, status.st_size, status.st_mtime_ns)
    elif isinstance(stored, BytesIO):
        found = digest_of_file(stored)
        stored.seek(0)
    else:
        return
    if found != wanted:
        raise _damaged(storage, name, "its digest is not that of its object's manifest")


@lru_cache(maxsize=4096)
def _digest_on_disk(path: Path, *version: int) -> str:
    """The digest of a file, computed once for each version of it: a task opens a table several times."""
    with path.open("rb") as file:
        return digest_of_file(file)


def _arrays(batch: pa.RecordBatch) -> Table:
    return {key: batch.column(key).to_numpy(zero_copy_only=False) for key in batch.schema.names}


def _columns(table: pa.Table) -> Table:
    return {key: table.column(key).to_numpy() for key in table.column_names}
