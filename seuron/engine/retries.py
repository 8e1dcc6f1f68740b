"""Tasks of a run that took several tries, and why.

OUTPUT/retries.json is written before the report is made, from the tasks' records and from what whoever ran them
knows of the tries that failed. A task that was done at its first try is not in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from seuron.engine.run import Run
from seuron.storage import Storage
from seuron.storage.documents import read_if_whole

RETRIES_FILE = "retries.json"
#: What is known of a try that left no word.
LOST = "nothing was heard of it: its worker or its machine was lost"
#: Characters of a reason that are kept.
LONGEST = 300


@dataclass(frozen=True)
class RetriedTask:
    """A task that was done at its `tries`-th try, and why those before it were not, the first one first."""

    task_id: str
    tries: int
    reasons: tuple[str, ...]


_RETRIED = TypeAdapter(tuple[RetriedTask, ...])


def reason(error: BaseException) -> str:
    """An error in a line: its type and what it says first."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0] if text else ''}"[:LONGEST]


def read_retries(storage: Storage) -> tuple[RetriedTask, ...]:
    """What the folder of a run says; nothing where nothing was written down."""
    return read_if_whole(storage, RETRIES_FILE, tuple[RetriedTask, ...]) or ()


def write_retries(run: Run, reason_of: Callable[[str, int], str | None]) -> None:
    """Write down the tries of the run's finished tasks; `reason_of` a task's id and a try is why it failed, if known.

    What an earlier start of the run knew stays for the tasks that it did.
    """
    before = {retried.task_id: retried for retried in read_retries(run.storage)}
    found = []
    for record in run.records():
        if record.tries > 1:
            known = [reason_of(record.task_id, number) for number in range(1, record.tries)]
            made = RetriedTask(record.task_id, record.tries, tuple(why or LOST for why in known))
            old = before.get(record.task_id, made)
            found.append(replace(made, reasons=old.reasons) if old.tries == made.tries and not any(known) else made)
    if found or before:
        run.storage.put(RETRIES_FILE, _RETRIED.dump_json(tuple(found), indent=1))
