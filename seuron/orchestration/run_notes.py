"""Notes of runs: what a person has to know about the end of a run, shown at the run in Airflow.

A task cannot write the note of its run: that is for people and for Airflow's own processes. So it stores the
text as a result of its own, and this listener, which the scheduler calls when the run ends, makes it the
run's note. A note that is there already stays, with the text below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

from seuron.errors import ParameterErrors, SeuronError

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

#: The name of the result that holds the text.
KEY = "run_note"
#: Airflow takes notes of at most this many characters.
LONGEST = 1000
#: Characters that each of many problems has: enough for a parameter and what was given.
SHORTEST = 60


def note_of(error: Exception) -> str:
    """An error as a note. Each of several problems has a part of it: long ones leave room for the others."""
    if not isinstance(error, ParameterErrors):
        return str(error) if isinstance(error, SeuronError) else f"{type(error).__name__}: {error}"
    title = str(error).partition("\n")[0]
    room = max(SHORTEST, (LONGEST - len(title)) // len(error.problems) - len("\n- "))
    lines = [text if len(text) <= room else f"{text[: room - 1]}…" for text in error.problems]
    return "\n- ".join([title, *lines])


def leave_note(context: Mapping[str, Any], words: str) -> None:
    """Add a text to the run's note when it ends; called by one of its tasks."""
    context["ti"].xcom_push(key=KEY, value=words[:LONGEST])


@hookimpl
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:
    """Make the texts of the run's tasks its note."""
    from airflow.models.xcom import XComModel
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is None:
        return
    query = select(XComModel.value).where(XComModel.dag_run_id == dag_run.id, XComModel.key == KEY)
    left = [str(XComModel.deserialize_value(row)) for row in session.execute(query)]
    words = [text for text in left if text not in (dag_run.note or "")]
    if words:
        dag_run.note = "\n\n".join([*([dag_run.note] if dag_run.note else []), *words])[:LONGEST]
