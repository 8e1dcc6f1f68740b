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
| fault | struck | seconds | tried again | result | day | load |
|---|--:|--:|--:|---|---|--:|
"""


@dataclass(frozen=True)
class Row:
    """What one fault did to a run: how often it struck, how long the run took; and when, on how busy a machine."""

    fault: str
    struck: int
    seconds: float
    tried_again: int
    result: str
    day: str
    load: float

    def __str__(self) -> str:
        times = f"{self.struck} | {self.seconds:.0f} | {self.tried_again}"
        return f"| {self.fault} | {times} | {self.result} | {self.day} | {self.load:.0f} |"


def row(fault: str, struck: int, seconds: float, tried_again: int, result: str) -> Row:
    """A row of now and here."""
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    return Row(fault, struck, seconds, tried_again, result, day, os.getloadavg()[1])


def table(rows: Sequence[Row], page: str) -> str:
    """The text between the markers: these rows, and those of other faults that the page has."""
    lines = {line.split("|")[1].strip(): line for line in _between(page).splitlines() if line.startswith("| ")}
    lines.pop("fault", None)
    lines |= {made.fault: str(made) for made in rows}
    cores, memory = psutil.cpu_count(), psutil.virtual_memory().total / 2**30
    where = f"{platform.system()}, {cores} cores, {memory:.0f} GiB of memory"
    return f"{where}:\n\n{_HEAD}" + "\n".join(lines.values()) + "\n"


def put_between_markers(page: str, text: str) -> str:
    """The page with another text between its markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def write(rows: Sequence[Row]) -> None:
    """Put the rows into the page."""
    page = PAGE.read_text()
    PAGE.write_text(put_between_markers(page, table(rows, page)))


def _between(page: str) -> str:
    return page.partition(BEGIN)[2].partition(END)[0]
