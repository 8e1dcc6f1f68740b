"""Why tries of a run's tasks failed, kept for the run's report.

The retry policy is called once for a try that failed. It stores the reason as a result of the empty task
`batches.retries`: with Airflow rather than in the run's folder, because a full disk or a store that does not
answer may be the cause, and a task's own results are deleted when it is retried.
Of a try whose worker was lost there is no reason.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.exceptions import AirflowRuntimeError

from seuron.cluster.names import CLUSTER_VARIABLE
from seuron.engine.retries import reason, write_retries
from seuron.orchestration.routing import RETRIES_TASK

if TYPE_CHECKING:
    from seuron.engine.run import Run


log = logging.getLogger(__name__)

#: The key of the plan's task id in the context of a mapped task.
PLANNED = "planned_task"


def keep_reason(context: Mapping[str, Any], error: BaseException, number: int) -> None:
    """Store why try `number` of a planned task failed."""
    ti, planned = context["ti"], context.get(PLANNED)
    if planned is None:
        return
    place = {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": RETRIES_TASK}
    try:
        BaseXCom.set(_key(planned, number), reason(error), **place)
    except AirflowRuntimeError:  # the task must end as it would have
        log.warning("Airflow refuses the reason of a failed try; it will be missing in the run's report", exc_info=True)


def record_incidents(context: Mapping[str, Any], run: Run) -> None:
    """Write into the run's folder what its report lists: tries that failed, and what the cluster did."""
    ti = context["ti"]
    place = {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": RETRIES_TASK}
    write_retries(run, lambda planned, number: BaseXCom.get_one(key=_key(planned, number), **place))
    if os.environ.get(CLUSTER_VARIABLE):
        _record_cluster(context, run)


def _record_cluster(context: Mapping[str, Any], run: Run) -> None:
    """The state at the last step, and all events until now: the report must not be a minute behind."""
    from seuron.cluster.config import read_cluster
    from seuron.cluster.costs.run_costs import ActiveRun, update_run_costs
    from seuron.cluster.records import Records
    from seuron.deployment.cluster import records_folder

    groups = read_cluster(os.environ[CLUSTER_VARIABLE]).groups
    started, budget = context["dag_run"].start_date.timestamp(), run.params.budget_dollars
    update_run_costs(Records(records_folder()), groups, [ActiveRun(context["run_id"], run.output, started, budget)])


def _key(planned: str, number: int) -> str:
    return f"{planned} {number}"
