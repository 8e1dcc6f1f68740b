"""A message as words and parameters.

    run segmentation preset=isotropic-10nm mip=1          words
    run segmentation {"mip": 1}                  words, and parameters in JSON: behind them, in a block between
                                                 lines of three backquotes, or as an attached file
    run segmentation [{"mip": 1}, {"mip": 2}]    a batch

Files are read as JSON and never run.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seuron.errors import ParameterErrors

#: Bytes of a file of parameters: a batch of a thousand sets has less.
LARGEST_FILE = 1_000_000
#: Chats turn straight quotes into these while one types.
_QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'"})
_BLOCK = re.compile(r"```(?:json\s)?(.*?)```", re.DOTALL | re.IGNORECASE)
_BEHIND = re.compile(r"(?:^|\s)([\[{].*)\Z", re.DOTALL)


@dataclass(frozen=True)
class Attachment:
    """A file that came with a message."""

    name: str
    content: bytes


@dataclass(frozen=True)
class ParsedMessage:
    """The words of a message, and the parameters or the batch of them that came with it."""

    words: tuple[str, ...]
    values: dict[str, Any] | None = None
    batch: tuple[dict[str, Any], ...] | None = None


def parse_message(text: str, attached: Sequence[Attachment] = ()) -> ParsedMessage:
    """Parse a message; raises ParameterErrors with all that cannot be read."""
    blocks = [Attachment("the block", found.encode()) for found in _BLOCK.findall(text)]
    rest = _BLOCK.sub(" ", text).strip()
    behind = _BEHIND.search(rest)
    if behind is not None and _is_json(behind.group(1)):
        blocks.append(Attachment("the JSON behind the words", behind.group(1).encode()))
        rest = rest[: behind.start(1)]
    files = [*blocks, *attached]
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise ParameterErrors([f"parameters came {len(files)} times: {names}; send one file or block"], "the message")
    words = tuple(_words(rest.translate(_QUOTES)))
    if not files:
        return ParsedMessage(words)
    value = _read(files[0])
    if isinstance(value, dict):
        return ParsedMessage(words, values=value)
    return ParsedMessage(words, batch=_batch(files[0].name, value))


def _words(text: str) -> list[str]:
    """Words, and quoted ones with spaces; an apostrophe without a partner is no quote."""
    for quotes in ("\"'", '"'):
        lexer = shlex.shlex(text.rstrip(" ?!"), posix=True, punctuation_chars="")
        lexer.quotes, lexer.commenters, lexer.escape, lexer.whitespace_split = quotes, "", "", True
        try:
            return list(lexer)
        except ValueError:
            continue
    raise ParameterErrors([f'a quotation is not closed in {text!r}; write why="two words"'], "the message")


def _read(file: Attachment) -> Any:
    if len(file.content) > LARGEST_FILE:
        raise ParameterErrors([f"{file.name} has {len(file.content)} bytes; at most {LARGEST_FILE}"], "the message")
    try:
        return json.loads(file.content, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        allowed = "attach JSON: an object of key: value, or a list of them"
        raise ParameterErrors([f"{file.name} is not JSON: {error}; {allowed}"], "the message") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; a key that is there twice would hide one of its values."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"{', '.join(twice)} is given twice")
    return found


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _batch(name: str, value: Any) -> tuple[dict[str, Any], ...]:
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        kind = type(value).__name__ if not isinstance(value, list) else "list of other things, or of nothing"
        raise ParameterErrors(
            [f"{name} holds a {kind}; give an object of key: value, or a list of them"], "the message"
        )
    return tuple(value)
