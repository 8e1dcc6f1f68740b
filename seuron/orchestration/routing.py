"""Which queue and pool a planned task goes to: what `prepare` decided, set by Airflow's cluster policy.

A mapped node has one queue when its DAG is parsed, but what its tasks need is known only once a run has
been planned. Airflow lets a *cluster policy* change task instances when they are made and when they are
cleared (`task_instance_mutation_hook`, found by the entry point group `airflow.policy`). This one looks
up the run's queues, which `prepare` has stored as the result of the empty task `batches.queues`.

When it is called, by Airflow 3.3.2: for each instance that a mapped node is expanded to, after `prepare`;
for an instance that is cleared; and for nodes that are not expanded yet, which never run as they are.
It is not called for instances that stand when `prepare` is done again, so a run's queues never change once
they are stored (`assign(..., kept=...)`), which is also why they may be cached.

It runs inside a transaction of the scheduler that must not be committed: it only reads, by the session
that the run belongs to, once for each run.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow.policies import hookimpl

from seuron.engine.registry import pipeline_names

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance

#: The empty task whose result says where the tasks of each node go.
ROUTES_TASK = "batches.queues"
#: The one whose result says what each node has to do (seuron.orchestration.pending_work).
WORK_TASK = "batches.work"
#: The one that holds why tries of tasks failed (seuron.orchestration.retry_reasons).
RETRIES_TASK = "batches.retries"
#: Pools that every deployment has; a task of another queue stays in the pool that its node names.
POOLS = ("cpu", "gpu", "memory", "manager")
#: Runs whose routes are kept in memory: more than are ever active at once.
_RUNS_KEPT = 256

#: Queue and slots of its pool, by node.
Routes = dict[str, tuple[str, int]]

_NODE = re.compile(r"\w+\.tier_\d+")
_known: dict[str, Routes] = {}


def node(stage: str, tier: int) -> str:
    """The mapped node of a tier."""
    return f"{stage}.tier_{tier}"


@hookimpl
def task_instance_mutation_hook(task_instance: TaskInstance, dag_run: DagRun | None) -> None:
    """Give a planned task its queue, and the pool of that name with as many slots as it takes."""
    if task_instance.map_index < 0 or not _NODE.fullmatch(task_instance.task_id):
        return
    if task_instance.dag_id not in pipeline_names():
        return
    if dag_run is None:  # called again with its run before anything is scheduled
        return
    route = _routes(dag_run).get(task_instance.task_id)
    if route is not None:
        task_instance.queue, slots = route
        if task_instance.queue in POOLS:
            task_instance.pool, task_instance.pool_slots = task_instance.queue, slots


def _routes(dag_run: DagRun) -> Routes:
    """The routes of a run; none while `prepare` has not stored any."""
    run_id = str(dag_run.run_id)
    if run_id not in _known:
        found = _stored(dag_run)
        if not found:
            return {}
        while len(_known) >= _RUNS_KEPT:
            del _known[next(iter(_known))]
        _known[run_id] = found
    return _known[run_id]


def _stored(dag_run: DagRun) -> Routes:
    from airflow.models.xcom import XComModel
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is None:
        return {}
    query = select(XComModel.value).where(
        XComModel.dag_run_id == dag_run.id,
        XComModel.task_id == ROUTES_TASK,
        XComModel.map_index == -1,
        XComModel.key == "return_value",
    )
    with session.no_autoflush:  # what the scheduler has not written yet is not for a policy to write
        stored: Any = session.scalar(query)
    return {name: (str(queue), int(slots)) for name, (queue, slots) in (_decoded(stored) or {}).items()}


def _decoded(stored: Any) -> Any:
    """Values that a task sent are JSON in a column of JSON."""
    import json

    return json.loads(stored) if isinstance(stored, str) else stored
