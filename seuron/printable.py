"""Texts without characters that act on a terminal, a log or a chat instead of being shown.

Names of runs, folders, volumes and workers, and the messages of errors, come from files and from other people. An
escape sequence in them would clear the screen of who lists them, and a line end would forge a line of a log.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from types import TracebackType
from typing import Any

#: Controls but tab and line end, what turns the direction of writing, and halves of characters, which no file takes.
_ACTING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""The text with such characters as Python writes them: ESC as `\x1b`. Tabs and line ends stay."""
    return _ACTING.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


class PrintableFormatter(logging.Formatter):
    """A log's format in which a message is one line of printable characters."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record)).replace("\n", "\\n")

    def formatException(self, ei: Any) -> str:
        return printable(super().formatException(ei))


def print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What `sys.excepthook` does, in printable characters."""
    sys.stderr.write(printable("".join(traceback.format_exception(kind, error, trace))))
