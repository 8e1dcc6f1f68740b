"""Notes at runs: what a person has to know of how a run ended, said at the run itself.

A task cannot write the note of its run: that is for people and for Airflow's own processes. So it leaves the
words as a result of its own, and this listener, which the scheduler calls when the run ends, makes them the
run's note. A note that is there already stays, with the words below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

#: The name of the result that holds the words.
KEY = "run_note"
#: Airflow takes notes of at most this many letters.
LONGEST = 1000


def leave_note(context: Mapping[str, Any], words: str) -> None:
    """Have the run's note say something when it ends; called by one of its tasks."""
    context["ti"].xcom_push(key=KEY, value=words[:LONGEST])


@hookimpl
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:
    """Make what the run's tasks have left its note."""
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
