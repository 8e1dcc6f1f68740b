"""Callbacks by which Airflow notifies people: at the end of a run, and when a task is retried.

They are there only where $SEURON_NOTIFICATIONS names a file: a DAG with a callback is parsed once more at each end
of a run. The callback of the end runs in the DAG processor, the other one in the task's own process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from seuron.notifications.settings import FILE_VARIABLE


def run_callbacks() -> dict[str, Any]:
    """Arguments of a DAG whose runs are notified of; none where no recipients are configured."""
    if not os.environ.get(FILE_VARIABLE):
        return {}
    return {"on_failure_callback": on_run_end, "on_success_callback": on_run_end}


def task_callbacks() -> dict[str, Any]:
    """Default arguments of the tasks of such a DAG."""
    return {"on_retry_callback": on_task_retry} if os.environ.get(FILE_VARIABLE) else {}


def on_run_end(context: Mapping[str, Any]) -> None:
    """Notify of how a run has ended."""
    from seuron.client import connect
    from seuron.notifications.dispatch import notify_end
    from seuron.orchestration.airflow_api import airflow_login, airflow_url

    deployment = connect(airflow_url(), auth=airflow_login())
    try:
        notify_end(deployment.find(str(context["run_id"])))
    finally:
        deployment.close()


def on_task_retry(context: Mapping[str, Any]) -> None:
    """Notify of why a task of a run is retried."""
    from seuron.client.run_names import short_name
    from seuron.notifications.dispatch import notify, retry_notice
    from seuron.notifications.notices import Cause, one_line
    from seuron.orchestration.retry_policy import EXCEPTION_TRIES

    ti, error = context["ti"], context.get("exception")
    output = str(context["params"].get("output") or "")
    label = str(context.get("label") or ti.task_id)
    reason = one_line(f"{type(error).__name__}: {error}") if error is not None else "its process was lost"
    cause = Cause(label, reason, str(ti.log_url))
    notify(retry_notice(short_name(output, str(context["run_id"])), output, cause, ti.try_number, EXCEPTION_TRIES))
