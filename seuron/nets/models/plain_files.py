"""ONNX and TorchScript files with a TOML file of the same name beside them that describes the net. Loads no engine.

Neither format is pickled Python, but both hold a program. An ONNX graph can only compute; weights in other files are
refused, so that the digest covers all of it. TorchScript is a language of its own, whose operators can read and write
files: an archive is refused whose code calls any of those, or has code that runs while it is loaded.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from seuron.errors import PermanentError
from seuron.nets.models.description import ModelDescription
from seuron.params.typed_file import parse_typed, read_toml

ONNX_ENDING, TORCHSCRIPT_ENDINGS = ".onnx", (".pt", ".pth", ".ts", ".torchscript")
#: Bytes of a weights file, and of all of an archive's members.
LARGEST = 2**32
#: What TorchScript code of a net has no use for: files, other processes, operators of libraries, hooks of loading.
_FORBIDDEN = re.compile(
    r"\btorch\.(save|load|from_file|_?set_?num\w*|manual_seed|classes)\b|\bops\.(?!prim\.|aten\.)\w+|"
    r"\bdef\s+__(?:set|get)state__\b|\b__torch__\.torch\.classes\b|\bfork\(|\bimport\s+os\b"
)


def description_beside(weights: Path) -> ModelDescription:
    """What the TOML file beside a file of weights says; raises ParameterErrors with all that is wrong with it.

    The net's name is the file's where the TOML has none.
    """
    path = weights.with_suffix(".toml")
    if not path.is_file():
        raise PermanentError(
            f"the net {weights} has no description: write {path.name} beside it, with at least `resolutions_nm`, "
            "`patch` and `outputs` (docs/models.md)"
        )
    what = "the description"
    fields: dict[str, Any] = {"name": weights.stem, **read_toml(path, what)}
    return parse_typed(ModelDescription, {**fields, "sha256": ""}, f"{what} {path}")


def check_torchscript(content: bytes, what: str) -> None:
    """Raise PermanentError for what is no TorchScript archive, or one with code that a net has no use for."""
    names, code = [], []
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            names = archive.namelist()
            if sum(member.file_size for member in archive.infolist()) > LARGEST:
                raise PermanentError(f"{what}: unpacked it would have more than {LARGEST >> 30} GiB; it is no net")
            code = [archive.read(name).decode() for name in names if "/code/" in name and name.endswith(".py")]
    except (zipfile.BadZipFile, zlib.error, UnicodeDecodeError, EOFError, OSError) as error:
        raise PermanentError(f"{what}: no TorchScript archive ({error}); {_torchscript_remedy(content)}") from error
    if not code or not any(name.endswith("/constants.pkl") for name in names):
        raise PermanentError(f"{what}: no TorchScript archive; {_torchscript_remedy(content)}")
    found = sorted({match.group(0) for text in code for match in _FORBIDDEN.finditer(text)})
    if found:
        raise PermanentError(
            f"{what}: its code has {', '.join(found)}, which a net has no use for; it is not loaded. "
            "Ask its makers for ONNX"
        )


def _torchscript_remedy(content: bytes) -> str:
    if content[:4] == b"PK\x03\x04" or content[:1] == b"\x80":
        return (
            "it looks like pickled Python (torch.save), which may run anything and is not loaded: "
            "write it with torch.jit.save or torch.onnx.export where you trust it"
        )
    return "it is damaged, or another kind of file: get it again"


def check_onnx(content: bytes, what: str) -> None:
    """Raise PermanentError for what cannot be an ONNX model; ONNX Runtime checks the rest.

    An ONNX file is a protobuf message whose first field is `ir_version` (tag 0x08).
    """
    if len(content) < 16 or content[0] != 0x08:
        raise PermanentError(f"{what}: no ONNX model, or a damaged one; get it again, or export the net again")


def bounded_bytes(path: Path) -> bytes:
    """A file's content; raises PermanentError where it cannot be read or is larger than any net."""
    try:
        if path.stat().st_size > LARGEST:
            raise PermanentError(f"{path}: more than {LARGEST >> 30} GiB; it is no net")
        return path.read_bytes()
    except OSError as error:
        raise PermanentError(f"{path}: cannot be read ({error.strerror})") from error


def endings() -> Iterator[str]:
    """The endings of files that are opened as nets with a description beside them."""
    yield from (ONNX_ENDING, *TORCHSCRIPT_ENDINGS)
