"""Intermediate tables: columnar, compressed, checksummed Parquet files, written whole or not at all.

They open in any notebook with `pyarrow.parquet.read_table` or `pandas.read_parquet`.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    sink = pa.BufferOutputStream()
    pq.write_table(
        table, sink, compression="zstd", compression_level=1, use_dictionary=dictionary, write_page_checksum=True
    )
    return storage.put(f"{name}.parquet", sink.getvalue().to_pybytes())


def read_table(storage: Storage, name: str) -> Table:
    """The columns of `name.parquet`; raises RunError when it is missing or its checksum is wrong."""
    content = storage.get(f"{name}.parquet")
    if content is None:
        raise RunError(
            f"the table {storage.path}/{name}.parquet is missing; start the run again: it computes what is not there"
        )
    try:
        table = pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
    except (OSError, pa.ArrowInvalid) as error:
        raise RunError(
            f"the table {storage.path}/{name}.parquet is damaged ({error}); delete it and its task's record, "
            "then start the run again"
        ) from error
    return {key: table.column(key).to_numpy() for key in table.column_names}
