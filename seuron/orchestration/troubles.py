"""Why tries of a run's tasks failed, kept for the run's report.

A try that failed is asked once, by the retry policy, whether another one follows. It leaves its reason as a
result of the empty task `batches.troubles`: with Airflow rather than in the run's folder, because a full disk or
a store that does not answer may be what it failed for, and its own results are forgotten when it is tried again.
A try whose worker was lost says nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.exceptions import AirflowRuntimeError

from seuron.compute.names import CLUSTER_VARIABLE
from seuron.engine.retries import reason, tell_troubles
from seuron.orchestration.routing import TROUBLES_TASK

if TYPE_CHECKING:
    from seuron.engine.run import Run


log = logging.getLogger(__name__)

#: Under this name the context of a mapped task has the id that the task has in the plan.
PLANNED = "planned_task"


def keep_reason(context: Mapping[str, Any], error: BaseException, number: int) -> None:
    """Keep why try `number` of a planned task failed."""
    ti, planned = context["ti"], context.get(PLANNED)
    if planned is None:
        return
    place = {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": TROUBLES_TASK}
    try:
        BaseXCom.set(_key(planned, number), reason(error), **place)
    except AirflowRuntimeError:  # the task is to end as it would have
        log.warning("Airflow does not take why the try failed; the run's report will not tell", exc_info=True)


def tell_what_happened(context: Mapping[str, Any], run: Run) -> None:
    """Write into the run's folder what its report is to tell: tries that failed, and what the cluster did."""
    ti = context["ti"]
    place = {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": TROUBLES_TASK}
    tell_troubles(run, lambda planned, number: BaseXCom.get_one(key=_key(planned, number), **place))
    if os.environ.get(CLUSTER_VARIABLE):
        _tell_cluster(context, run)


def _tell_cluster(context: Mapping[str, Any], run: Run) -> None:
    """What the last step saw, and all events until now: the report must not be a minute behind."""
    from seuron.compute.cluster_file import read_cluster
    from seuron.compute.records import Records
    from seuron.compute.run_costs import ActiveRun, tell_runs
    from seuron.deployment.cluster import records_folder

    groups = read_cluster(os.environ[CLUSTER_VARIABLE]).groups
    started, budget = context["dag_run"].start_date.timestamp(), run.params.budget_dollars
    tell_runs(Records(records_folder()), groups, [ActiveRun(context["run_id"], run.output, started, budget)])


def _key(planned: str, number: int) -> str:
    return f"{planned} {number}"
