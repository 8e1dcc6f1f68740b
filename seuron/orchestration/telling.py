"""The hooks by which Airflow has people told: at the end of a run, and when a task is tried again.

They are there only where $SEURON_NOTIFICATIONS names a file: a DAG with a callback is parsed once more at each end
of a run. The end's hook runs in the DAG processor, the other one in the task's own process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from airflow.sdk import conf

from seuron.notifications.settings import FILE_VARIABLE


def run_hooks() -> dict[str, Any]:
    """Arguments of a DAG whose runs are told of; none where nobody is to be told."""
    return {"on_failure_callback": tell_end, "on_success_callback": tell_end} if os.environ.get(FILE_VARIABLE) else {}


def task_hooks() -> dict[str, Any]:
    """Default arguments of the tasks of such a DAG."""
    return {"on_retry_callback": tell_retry} if os.environ.get(FILE_VARIABLE) else {}


def tell_end(context: Mapping[str, Any]) -> None:
    """Tell how a run has ended."""
    from seuron.client import connect
    from seuron.notifications import telling

    deployment = connect(str(conf.get("api", "base_url")))
    try:
        telling.tell_end(deployment.find(str(context["run_id"])))
    finally:
        deployment.close()


def tell_retry(context: Mapping[str, Any]) -> None:
    """Tell why a task of a run is tried again."""
    from seuron.client.naming import short_name
    from seuron.notifications.notices import Cause, one_line
    from seuron.notifications.telling import retry_notice, tell
    from seuron.orchestration.segmentation import EXCEPTION_TRIES

    ti, error = context["ti"], context.get("exception")
    output = str(context["params"].get("output") or "")
    label = str(context.get("label") or ti.task_id)
    reason = one_line(f"{type(error).__name__}: {error}") if error is not None else "its process was lost"
    cause = Cause(label, reason, str(ti.log_url))
    tell(retry_notice(short_name(output, str(context["run_id"])), output, cause, ti.try_number, EXCEPTION_TRIES))
