"""The table of docs/reliability.md: one row for each fault, as it was last survived."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- made by make chaos -->", "<!-- end -->"
_HEAD = """\
| fault | struck | seconds | undisturbed | tried again | result |
|---|--:|--:|--:|--:|---|
"""


@dataclass(frozen=True)
class Row:
    """What one fault did to a run: how often it struck, and how long the run took with it and without."""

    fault: str
    struck: int
    seconds: float
    undisturbed: float
    tried_again: int
    result: str

    def __str__(self) -> str:
        times = f"{self.seconds:.0f} | {self.undisturbed:.0f}"
        return f"| {self.fault} | {self.struck} | {times} | {self.tried_again} | {self.result} |"


def table(rows: Sequence[Row], now: datetime) -> str:
    """The text between the markers."""
    cores, memory = psutil.cpu_count(), psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[0]
    where = f"{platform.system()}, {cores} cores, {memory:.0f} GiB of memory, load average {load:.0f}"
    return f"{now:%Y-%m-%d}, {where}:\n\n{_HEAD}" + "\n".join(map(str, rows)) + "\n"


def put_between_markers(page: str, text: str) -> str:
    """The page with another text between its markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def write(rows: Sequence[Row]) -> None:
    """Put the rows into the page."""
    PAGE.write_text(put_between_markers(PAGE.read_text(), table(rows, datetime.now(UTC))))
