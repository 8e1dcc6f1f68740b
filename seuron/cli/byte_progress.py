"""Progress of what goes through volumes: bytes, their rate and the time left; a line for each tenth elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn


class ByteProgress:
    """Called with what is going on, the bytes done and all of them; a bar for each thing that goes on."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._what = ""
        self._tenth = 0
        self._bars = Progress(
            TextColumn("{task.description:<10}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self._what:
            self._what, self._tenth = what, 0
            self._bar = self._bars.add_task(what, total=total)
        self._bars.update(self._bar, completed=done)
        tenth = done * 10 // max(1, total)
        if not self.console.is_terminal and tenth > self._tenth:
            self._tenth = tenth
            task = self._bars.tasks[self._bar]
            rate = f", {task.speed / 1e6:.0f} MB/s" if task.speed else ""
            left = f", {task.time_remaining:.0f} s left" if task.time_remaining else ""
            self.console.print(f"{what:<10} {tenth * 10} %{rate}{left}", highlight=False, markup=False)
