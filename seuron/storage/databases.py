"""Tables in any database that SQLAlchemy has a driver for: PostgreSQL, SQLite and others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seuron.errors import DataError, ParameterErrors, RunError
from seuron.redaction import redacted

if TYPE_CHECKING:
    import sqlalchemy

    from seuron.storage.tables import Table

#: The largest whole number that databases hold.
LARGEST = 2**63 - 1


def write_tables(
    url: str, tables: Mapping[str, tuple[Sequence[str], Iterable[Table]]], *, overwrite: bool = False
) -> dict[str, int]:
    """Write tables into a database, all or none, and return the rows of each.

    Args:
        url: SQLAlchemy's, such as `sqlite:////data/first.db` or `postgresql://user@host/database`.
        tables: by name, the columns of the key, and the rows in pieces, one at least.
        overwrite: replace tables of these names; without it they are refused.

    Raises ParameterErrors for a url that says no database, or tables that are there; RunError for what the database
    says; DataError for ids that it cannot hold.
    """
    import sqlalchemy
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    try:
        engine = sqlalchemy.create_engine(url)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise ParameterErrors(
            [
                f"`url`: {redacted(url)} says no database that can be reached from here ({redacted(str(error))}); "
                "give such as sqlite:////data/first.db, or postgresql://user:password@host/name with its driver"
            ]
        ) from error
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN")  # Python's driver would begin behind CREATE TABLE only
            there = set(sqlalchemy.inspect(connection).get_table_names()) & set(tables)
            if there and not overwrite:
                raise ParameterErrors(
                    [f"the database already has {', '.join(sorted(there))}; add --overwrite to replace them"]
                )
            return {name: _write(connection, name, *parts) for name, parts in tables.items()}
    except SQLAlchemyError as error:
        raise RunError(f"{redacted(url)}: {redacted(str(error))}") from error
    finally:
        engine.dispose()


def _write(connection: sqlalchemy.Connection, name: str, keys: Sequence[str], pieces: Iterable[Table]) -> int:
    import sqlalchemy

    table: sqlalchemy.Table | None = None
    rows = 0
    for piece in pieces:
        if table is None:
            columns = [_column(column, values.dtype, column in keys) for column, values in piece.items()]
            table = sqlalchemy.Table(name, sqlalchemy.MetaData(), *columns)
            table.drop(connection, checkfirst=True)
            table.create(connection)
        values = [_plain(name, column, values) for column, values in piece.items()]
        given = [dict(zip(piece, row, strict=True)) for row in zip(*values, strict=True)]
        if given:
            connection.execute(table.insert(), given)
        rows += len(given)
    return rows


def _column(name: str, dtype: np.dtype[Any], key: bool) -> sqlalchemy.Column[Any]:
    import sqlalchemy

    kinds: dict[str, Any] = {"b": sqlalchemy.Boolean, "f": sqlalchemy.Double}
    kind = kinds.get(dtype.kind, sqlalchemy.BigInteger)
    return sqlalchemy.Column(name, kind, primary_key=key, autoincrement=False)


def _plain(table: str, name: str, values: Any) -> list[Any]:
    """A column's values as Python's; raises DataError for a whole number that databases do not hold."""
    if values.dtype.kind == "u" and values.size and int(values.max()) > LARGEST:
        raise DataError(
            f"the column {name} of {table} holds {values.max()}; databases hold whole numbers up to {LARGEST}. "
            "Take the Parquet file, or give the segments smaller ids"
        )
    found: list[Any] = values.tolist()
    return found
