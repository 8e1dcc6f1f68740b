"""What fields of parameter models are made of: types that forms and shells can send as text, and their description."""

from __future__ import annotations

import json
import os
import pathlib
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from seuron.printable import printable

#: Indices of voxel edges, three to a voxel, are 64 bits.
MOST_VOXELS = 2**61
#: Corners of boxes: far beyond any volume, and whole numbers that JSON, float64 and the sums of two of them all hold.
FARTHEST = 2**53
#: Voxels along a side of a chunk, a patch or a block.
LONGEST_SIDE = 2**16
#: What file systems take: bytes of a name, and of a path with room for what lies in a run's folder.
LONGEST_NAME, LONGEST_PATH = 255, 4096 - 256
#: How paths may begin, besides `/`; what is read over HTTP cannot be written.
SCHEMES = ("file", "gs", "s3", "mem", "http", "https", "matrix", "tigerdata", "nokura")
READ_ONLY_SCHEMES = ("http", "https")

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")


def _numbers(count: int) -> BeforeValidator:
    """Accept `1,2,3`, `1 2 3` and `[1, 2, 3]` where numbers are wanted: forms and shells send text."""

    def parse(value: Any) -> Any:
        if isinstance(value, str):
            value = value.replace(",", " ").replace("[", " ").replace("]", " ").split()
        if isinstance(value, (list, tuple)) and len(value) != count:
            raise ValueError(f"expected {count} numbers, for example {'1,2,3,4,5,6'[: 2 * count - 1]}")
        return value

    return BeforeValidator(parse)


def none_if_blank(value: Any) -> Any:
    """Web forms send an empty text for a field that was left alone."""
    return None if value is None or (isinstance(value, str) and not value.strip()) else value


def _as_list(value: Any) -> Any:
    """The text `a,b,c`, or nothing, as a list of names."""
    if value is None or isinstance(value, str):
        return [word.strip() for word in (value or "").split(",") if word.strip()]
    return value


def _no_boolean(value: Any) -> Any:
    """Python takes true for 1; nobody who writes it means a number."""
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return value


def checked_text(text: str) -> str:
    """The text; raises ValueError for control characters, NUL among them, which neither files nor forms can have."""
    if printable(text) != text or set(text) & {"\n", "\t"}:
        raise ValueError("control characters (line ends, tabs, NUL) are not allowed")
    return text


def checked_path(text: str) -> str:
    """The path; raises ValueError for one that no file system or object store can have."""
    if not checked_text(text).strip():
        raise ValueError("blank; give a path, such as /data/runs/first or gs://bucket/first")
    if text != text.strip():
        raise ValueError("there are blanks around it; leave them out")
    bare = text.removeprefix("precomputed://")
    scheme = _SCHEME.match(bare)
    if scheme is None and "://" in bare:
        raise ValueError(f"no scheme stands before ://; allowed are a path on this machine and {_listed(SCHEMES)}")
    if scheme is not None and scheme[1] not in (*SCHEMES, *_aliases()):
        raise ValueError(f"{scheme[1]}:// is not known; allowed are a path on this machine and {_listed(SCHEMES)}")
    if scheme is not None and not bare[scheme.end() :].strip("/"):
        raise ValueError(f"nothing stands behind {scheme[0]}; give the whole path")
    if len(text.encode()) > LONGEST_PATH:
        raise ValueError(f"{len(text.encode())} bytes; a path may have {LONGEST_PATH}")
    longest = max(len(name.encode()) for name in text.split("/"))
    if longest > LONGEST_NAME:
        raise ValueError(f"one of its names has {longest} bytes; a file system allows {LONGEST_NAME}")
    return text


def _aliases() -> tuple[str, ...]:
    """The names of object stores that this machine's owner has given cloud-files; without its half second of import."""
    folder = pathlib.Path(os.environ.get("CLOUD_FILES_DIR") or "~/.cloudfiles").expanduser()
    try:
        found = json.loads((folder / "aliases.json").read_bytes())
    except (OSError, ValueError):  # none were given
        return ()
    return tuple(found) if isinstance(found, dict) else ()


def writable_path(text: str) -> str:
    """A path that something can be written to; raises ValueError for others."""
    text = checked_path(text)
    if text.removeprefix("precomputed://").startswith(tuple(f"{scheme}://" for scheme in READ_ONLY_SCHEMES)):
        raise ValueError("what is read over HTTP cannot be written to; give a folder or a bucket")
    return text


def _listed(schemes: tuple[str, ...]) -> str:
    return ", ".join(f"{scheme}://" for scheme in schemes)


Whole = Annotated[int, BeforeValidator(_no_boolean)]
Number = Annotated[float, BeforeValidator(_no_boolean), Field(allow_inf_nan=False)]
Side = Annotated[Whole, Field(gt=0, le=LONGEST_SIDE)]
Size = Annotated[tuple[Side, Side, Side], _numbers(3)]
Corner = Annotated[Whole, Field(ge=-FARTHEST, le=FARTHEST)]
Corners = Annotated[
    tuple[Corner, Corner, Corner, Corner, Corner, Corner] | None, _numbers(6), BeforeValidator(none_if_blank)
]
Path = Annotated[Annotated[str, AfterValidator(checked_path)] | None, BeforeValidator(none_if_blank)]
Folder = Annotated[str, AfterValidator(writable_path)]
OptionalFolder = Annotated[Folder | None, BeforeValidator(none_if_blank)]
Dollars = Annotated[Annotated[Number, Field(gt=0, le=1e9)] | None, BeforeValidator(none_if_blank)]
Names = Annotated[tuple[str, ...], BeforeValidator(_as_list)]


def parameter(default: Any, group: str, help: str, *, unit: str = "", **limits: Any) -> Any:
    """A parameter with what the form, the command line and the docs show of it."""
    return Field(default, description=help, json_schema_extra={"group": group, "unit": unit}, **limits)
