"""The one door to JSON files of seuron's own: parsed and checked, and a damaged one is named.

A file that another start makes again counts as absent where it is damaged (`read_if_whole`). Any other is an error
that says which file it is and what to do (`read_document`).
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from seuron.errors import DamagedFileError
from seuron.storage.cloud_paths import join
from seuron.storage.files import Storage

if TYPE_CHECKING:  # pydantic takes a quarter of a second that commands without files need not spend
    from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


def parse_document(content: bytes, kind: type[T], path: str, remedy: str) -> T:
    """The value that a file holds as JSON; raises DamagedFileError where it is not one of this type."""
    from pydantic import ValidationError

    try:
        adapter: TypeAdapter[T] = _adapter(cast("Hashable", kind))
        return adapter.validate_json(content)
    except ValidationError as error:
        raise DamagedFileError(path, _reason(content, error), remedy) from error


def read_document(storage: Storage, name: str, kind: type[T], remedy: str) -> T | None:
    """What the file `name` holds, None where there is none; raises DamagedFileError where it is damaged."""
    content = storage.get(name)
    return None if content is None else parse_document(content, kind, join(storage.path, name), remedy)


def read_if_whole(storage: Storage, name: str, kind: type[T]) -> T | None:
    """What the file `name` holds; None where there is none, and where it is damaged: it will be made again."""
    try:
        return read_document(storage, name, kind, "")
    except DamagedFileError:
        return None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _reason(content: bytes, error: ValidationError) -> str:
    """What is wrong with a file's content, in a few words."""
    if not content.strip(b"\0"):
        return "it holds nothing but zeros" if content else "it is empty"
    return first_problem(error)


def first_problem(error: ValidationError) -> str:
    """What pydantic found first, in a line."""
    first: Any = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else str(first["msg"])
