"""Progress in a terminal: a bar for each stage of a run, or a line of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from seuron.commands.answers import Answer
from seuron.printable import printable


class TerminalProgress:
    """Shows answers that a command gives on its way; bars on a terminal, a line for each change elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._rows: dict[str, TaskID] = {}
        self._done: dict[str, int] = {}
        self._bars = Progress(
            TextColumn("{task.description:<16}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rows:
            self._bars.stop()

    def __call__(self, answer: Answer) -> None:
        stages = answer.data.get("stages") if isinstance(answer.data, Mapping) else None
        if stages is None:
            self.console.print(printable(answer.text), soft_wrap=True, highlight=False, markup=False)
        elif stages:
            self._show(stages, answer.data)

    def _show(self, stages: Sequence[Mapping[str, Any]], status: Mapping[str, Any]) -> None:
        if not self._rows:
            self._bars.start()
        for stage in stages:
            name, done, total = printable(str(stage["name"])), int(stage["done"]), int(stage["total"])
            if name not in self._rows:
                self._rows[name] = self._bars.add_task(name, total=total, start=False, note="")
            row, current = self._rows[name], stage["name"] == status["stage"]
            if (done or current) and not self._bars.tasks[row].started:
                self._bars.start_task(row)
            self._bars.update(row, completed=done, total=total, note=_note(stage, status) if current else "")
            if not self.console.is_terminal and done != self._done.get(name, 0):
                self.console.print(f"{name:<16} {done}/{total}", highlight=False, markup=False)
            self._done[name] = done


def _note(stage: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    """What is running, and how long the stage and the run will still take."""
    from seuron.reporting.quantities import duration

    words = [f"{status['running']} running"] if status["running"] else []
    words += [f"{status['retrying']} wait for another try"] if status["retrying"] else []
    for seconds, what in ((stage["seconds_left"], "left"), (status["seconds_left"], "to the end")):
        words += [f"{duration(seconds)} {what}"] if seconds is not None else []
    return ", ".join(words)
