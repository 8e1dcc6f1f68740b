"""The progress display of a run: a row for each stage, tasks done of tasks in all.

It counts the records of finished tasks, so it is the same with and without Airflow, and what an
earlier, interrupted try has finished counts as well.
"""

from __future__ import annotations

from collections import Counter
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from seuron.errors import SeuronError
from seuron.runs import Run


class StageProgress:
    """Shows how far the run in `output` is; `refresh()` looks again."""

    def __init__(self, output: str, console: Console) -> None:
        self.output, self.console = output, console
        self._run: Run | None = None
        self._rows: dict[str, TaskID] = {}
        self._done: Counter[str] = Counter()
        self._bars = Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refresh()
        self._bars.stop()

    def refresh(self, note: str = "") -> None:
        """Look at the records and redraw; `note` stands beside the stage that is at work."""
        run = self._opened()
        if run is None:
            return
        done = self._finished(run)
        current = next((name for name in self._rows if done[name] < _total(run, name)), "")
        for stage, row in self._rows.items():
            total = _total(run, stage)
            if done[stage] and not self._bars.tasks[row].started:
                self._bars.start_task(row)
            if stage == current and not self._bars.tasks[row].started:
                self._bars.start_task(row)
            self._bars.update(row, completed=done[stage], note=note if stage == current else "")
            if not self.console.is_terminal and done[stage] != self._done[stage]:
                self.console.print(f"{stage:<14} {done[stage]}/{total}")
        self._done = done

    def _opened(self) -> Run | None:
        """The run, once it has been prepared."""
        if self._run is None:
            try:
                run = Run.open(self.output)
            except SeuronError:
                return None
            for stage in run.plan.stages:
                if stage.tasks:
                    self._rows[stage.name] = self._bars.add_task(
                        stage.name, total=len(stage.tasks), start=False, note=""
                    )
            self._run = run
        return self._run

    def _finished(self, run: Run) -> Counter[str]:
        """Finished tasks by stage: a name in `tasks/` is enough, no record is read."""
        done: Counter[str] = Counter()
        for name in run.storage.names("tasks/"):
            task = run.plan.tasks.get(name.removeprefix("tasks/").removesuffix(".json"))
            if task is not None:
                done[task.stage] += 1
        return done


def _total(run: Run, stage: str) -> int:
    return len(run.plan.stage(stage).tasks)
