"""Formatting of answers as text: tables, statuses, differences. The same in every front end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from seuron.commands.answers import Answer

if TYPE_CHECKING:
    from seuron.client import RunStatus

#: Lines around a table, as chats want them; a terminal leaves them out.
FENCE = "```"


def plain_text(answer: Answer) -> str:
    """An answer as a terminal shows it: its text without fences, the links that are not in it, its pictures."""
    lines = [line for line in answer.text.splitlines() if line != FENCE]
    lines += [f"{name:<8} {url}" for name, url in answer.links.items() if url not in answer.text]
    return "\n".join([*lines, *(str(picture) for picture in answer.pictures)])


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """`columns` between fences."""
    return "\n".join([FENCE, columns(head, rows, right=right), FENCE])


def columns(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Rows under a head in columns, those in `right` aligned to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    )


def bar(done: int, total: int, width: int = 20) -> str:
    """How much is done, as a bar of characters; full only when all is."""
    filled = width * done // total if total else width
    return "#" * filled + "." * (width - filled)


def status_text(status: RunStatus) -> str:
    """A run in a sentence, and a bar for each of its stages."""
    from seuron.reporting.quantities import duration

    lines = [status.sentence]
    lines += [status.alert] if status.alert else []
    if status.stages:
        rows = [
            (
                stage.name,
                bar(stage.done, stage.total),
                f"{stage.done}/{stage.total}",
                "done" if stage.complete else "-" if stage.seconds_left is None else duration(stage.seconds_left),
            )
            for stage in status.stages
        ]
        lines.append(table(("stage", "", "tasks", "left"), rows, right=(2, 3)))
    if status.active and (status.running or status.retrying):
        lines.append(task_counts(status))
    return "\n".join(lines)


def task_counts(status: RunStatus) -> str:
    """How many tasks run or wait for another try, in a few words."""
    retrying = f", {status.retrying} wait for another try" if status.retrying else ""
    return f"{status.running} running{retrying}"


def status_answer(status: RunStatus, code: int = 0, more: str = "") -> Answer:
    """A run's status as an answer."""
    links = {"Airflow": status.page} if status.page else {}
    text = "\n".join(filter(None, [status_text(status), more]))
    return Answer(text, status.to_json(), links=links, code=code)


def moment(seconds: float | None) -> str:
    """A time since 1970 as date and hour, in UTC."""
    return "-" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def value_text(value: Any) -> str:
    """A parameter's value as it is typed."""
    if value is None:
        return "-"
    return ",".join(str(item) for item in value) if isinstance(value, (tuple, list)) else str(value)


def diff_lines(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What differs between two sets of values, a line each; a value that one does not have is `-`."""
    names = list(dict.fromkeys([*before, *after]))
    return [
        f"{name}: {value_text(before.get(name))} -> {value_text(after.get(name))}"
        for name in names
        if value_text(before.get(name)) != value_text(after.get(name))
    ]
