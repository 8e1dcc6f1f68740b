"""The cluster's scaling in Airflow: a DAG that does a step each minute, and steps around a run's stages.

Both are there only where the environment names a cluster's file when DAGs are parsed, so a deployment
without one has no node for it and starts no process.

A pair of setup and teardown stands around the stages that need machines. The setup asks for the machines
of the first tier before its tasks are ready; what it does not reach, the next minute's step does. The
teardown also comes when a stage failed or the run was cancelled. A step that cannot do its work
fails no run: machines are a matter of time.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.sdk import DAG, get_current_context, task

from seuron.cluster.names import CLUSTER_VARIABLE
from seuron.orchestration.routing import WORK_TASK

if TYPE_CHECKING:
    from seuron.cluster.cluster_state import QueueDepth
    from seuron.cluster.costs.run_costs import ActiveRun
    from seuron.orchestration.airflow_queues import AirflowQueues

log = logging.getLogger(__name__)

#: Seconds between two steps.
SECONDS_VARIABLE, SECONDS = "SEURON_CLUSTER_SECONDS", 60.0
#: Of the DAG's runs so many are kept: an hour's.
RUNS_KEPT = 60
DAG_ID = "cluster"
#: Neither waits for slots behind work, nor is tried again: the next one comes soon.
MANAGER_TASK: dict[str, Any] = {"queue": "manager", "pool": "manager", "priority_weight": 20, "do_xcom_push": False}
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def has_cluster() -> bool:
    """Whether the deployment's workers come from a cluster's groups."""
    return bool(os.environ.get(CLUSTER_VARIABLE))


def interval_seconds() -> float:
    """Seconds between two steps."""
    return float(os.environ.get(SECONDS_VARIABLE) or SECONDS)


def cluster_dag(doc_md: str | None = None) -> DAG:
    """The DAG of one task that does a step; without a cluster it is never scheduled."""
    with DAG(
        DAG_ID,
        schedule=timedelta(seconds=interval_seconds()) if has_cluster() else None,
        start_date=_EPOCH,
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=timedelta(minutes=10),
        description="Groups of instances grow and shrink with the work",
        doc_md=doc_md,
        tags=["seuron"],
    ) as dag:

        @task(task_id="step", weight_rule="absolute", **MANAGER_TASK)
        def step() -> None:
            """Read the cluster's state, decide, act and record; then delete old runs of this DAG."""
            do_step({})
            forget_old_runs()

        step()
    return dag


def machines_for(name: str, nodes: Sequence[str]) -> tuple[Any, Any]:
    """The setup and the teardown around nodes that run one after the other."""

    @task(task_id=f"machines_{name}", trigger_rule="none_failed", **MANAGER_TASK)
    def setup() -> None:
        from seuron.orchestration.pending_work import first_pending_work

        context: Mapping[str, Any] = get_current_context()
        step_or_warn(
            first_pending_work(context["ti"].xcom_pull(task_ids=WORK_TASK) or {}, nodes), str(context["run_id"])
        )

    @task(task_id=f"machines_{name}_done", **MANAGER_TASK)
    def teardown() -> None:
        step_or_warn({})

    begun: Any = setup().as_setup()
    return begun, teardown().as_teardown(setups=begun)


def unless_cancelled() -> Any:
    """A last teardown, which fails where planned tasks were skipped.

    Airflow ends a cancelled run only when its teardowns are done, and by then has forgotten that it was to fail:
    what was skipped on its behalf looks like tiers that were not needed.
    """

    @task(task_id="ended", retries=0, **MANAGER_TASK)
    def ended() -> None:
        from seuron.errors import RunError

        context: Mapping[str, Any] = get_current_context()
        ti, run_id = context["ti"], context["run_id"]
        work = ti.xcom_pull(task_ids=WORK_TASK)
        needed = [node for node, found in (work or {}).items() if found["tasks"]]
        states = ["skipped", "failed", "upstream_failed"]
        if work is None or (
            needed and ti.get_ti_count(dag_id=ti.dag_id, task_ids=needed, run_ids=[run_id], states=states)
        ):
            raise RunError("the run was cancelled or failed before all of its tasks were done; start it again to go on")

    return ended().as_teardown(on_failure_fail_dagrun=True)


def step_or_warn(expected: Mapping[str, QueueDepth], run_id: str = "") -> None:
    """A step that may fail: the scheduled one will do what it did not. `expected` are tasks of the run `run_id`."""
    from seuron.errors import SeuronError

    try:
        do_step(expected, run_id)
    except SeuronError as error:
        log.warning("The cluster's groups stay as they are until the next step: %s", error)


def do_step(expected: Mapping[str, QueueDepth], run_id: str = "") -> None:
    """One step of the cluster of this deployment; what it did is logged.

    `expected` are tasks of the run `run_id` that will be ready soon; those of a held run count for nothing.
    """
    from airflow.providers.common.compat.sdk import Stats

    from seuron.cluster.config import read_cluster
    from seuron.cluster.controller import Controller
    from seuron.cluster.costs.run_costs import runs_over_budget, update_run_costs
    from seuron.cluster.records import Records
    from seuron.cluster.workers import BrokerWorkers
    from seuron.deployment.cluster import records_folder
    from seuron.deployment.worker_setup import cluster_driver
    from seuron.notifications.holds import notify_hold
    from seuron.orchestration.airflow_api import airflow_login, airflow_url
    from seuron.orchestration.airflow_queues import AirflowQueues

    cluster = read_cluster(os.environ[CLUSTER_VARIABLE])
    workers = BrokerWorkers(str(conf.get("celery", "broker_url")))
    airflow = AirflowQueues(airflow_url(), auth=airflow_login())
    with airflow as queues, cluster_driver(cluster) as driver:
        records = Records(records_folder())
        runs = _active_runs(queues)
        queues.held, queues.interval_seconds = runs_over_budget(runs), interval_seconds()
        queues.limited = frozenset(run.id for run in runs if run.budget is not None)
        wanted = {} if run_id in queues.held else expected
        event = Controller(cluster, driver, queues, workers, records, interval_seconds=interval_seconds()).step(wanted)
        held = update_run_costs(records, cluster.groups, runs, queues.alert, notify_hold)
    # For docker/prometheus/alerts.yml.
    Stats.gauge("seuron.cluster.held_runs", held)
    Stats.gauge("seuron.cluster.dollars", records.ledger().dollars)
    for reason in event.reasons:
        log.info("%s", reason)
    for name in event.lost:
        log.info("%s is gone and was not asked to go", name)
    for problem in event.problems:
        log.warning("%s", problem)


def _active_runs(queues: AirflowQueues) -> list[ActiveRun]:
    """None where Airflow does not answer: the step says so itself, and does what it can."""
    from seuron.errors import RunError

    try:
        return queues.active_runs()
    except RunError:
        return []


def forget_old_runs() -> None:
    """Delete all but the newest runs of this DAG, with their logs: a step a minute makes half a million a year."""
    from seuron.airflow_rest import AirflowClient
    from seuron.orchestration.airflow_api import airflow_login, airflow_url

    with AirflowClient(airflow_url(), auth=airflow_login()) as client:
        forgotten = client.delete_old_runs(DAG_ID, RUNS_KEPT)
    logs = Path(str(conf.get("logging", "base_log_folder"))) / f"dag_id={DAG_ID}"
    for run_id in forgotten:
        shutil.rmtree(logs / f"run_id={run_id}", ignore_errors=True)
