"""The DAG of a pipeline: one graph for every volume, filled from the run's plan at run time.

`prepare` checks the parameters and writes the plan. Each stage is then a fixed row of tiers; each
tier is one mapped task, expanded to as many tasks as the plan has. A tier that the volume does not
need, or that an earlier try has finished, is skipped, and skipped tiers block nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import (
    DAG,
    BaseOperator,
    TaskGroup,
    get_current_context,
    get_parsing_context,
    task,
)
from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.exceptions import DownstreamTasksSkipped

from seuron.engine.pipeline import Pipeline, Stage
from seuron.engine.plan import Tier
from seuron.engine.registry import pipeline_named, pipeline_names
from seuron.orchestration.barriers import GATE_ID, barriers, gate_node, skippable
from seuron.orchestration.callbacks import run_callbacks, task_callbacks
from seuron.orchestration.cluster_steps import has_cluster, machines_for, unless_cancelled
from seuron.orchestration.form import filled, form_parameters
from seuron.orchestration.gates import SETTINGS as GATE_SETTINGS
from seuron.orchestration.gates import InspectionGate
from seuron.orchestration.retry_policy import EXCEPTION_TRIES, UNEXPECTED_ERRORS, LimitedRetries, is_final
from seuron.orchestration.routing import RETRIES_TASK, ROUTES_TASK, WORK_TASK, node
from seuron.orchestration.run_notes import leave_note, note_of

if TYPE_CHECKING:
    from seuron.engine.run import Run

log = logging.getLogger(__name__)

RETRIES: dict[str, Any] = {
    "retries": 20,
    "retry_delay": timedelta(seconds=5),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=1),
    "retry_policy": LimitedRetries(EXCEPTION_TRIES),
}

#: The stage before which what happened to the run's tasks is written down for its report.
REPORT_STAGE = "report"

#: `absolute`: by default Airflow ranks a task by how much depends on it, so that a large run would
#: starve a small one that was started later.
PRIORITIES: dict[str, Any] = {"weight_rule": "absolute"}


def pipeline_dags() -> dict[str, DAG]:
    """The DAGs of all pipelines by their names; in the process of a task, that of the task alone."""
    wanted = get_parsing_context().dag_id
    names = pipeline_names() if wanted is None else [name for name in pipeline_names() if name == wanted]
    return {name: pipeline_dag(pipeline_named(name)) for name in names}


def pipeline_dag(pipeline: Pipeline) -> DAG:
    """The DAG of a pipeline, by the pipeline's name."""
    with DAG(
        pipeline.name,
        schedule=None,
        description=pipeline.help,
        doc_md=pipeline.description,
        params=form_parameters(pipeline),
        max_active_tasks=100_000,
        default_args={**RETRIES, **PRIORITIES, **task_callbacks()},
        tags=["seuron"],
        **run_callbacks(),
    ) as dag:
        _add_tiers(pipeline, _prepare(pipeline))
    return dag


def _add_tiers(pipeline: Pipeline, prepared: Any) -> None:
    """The stages' tiers in a row behind `prepare`, each with a barrier to the one before it."""
    with TaskGroup("batches", tooltip="What each tier expands to; filled by prepare"):
        lists = {
            (stage.name, tier): EmptyOperator(task_id=_list_name(stage.name, tier))
            for stage in pipeline.stages
            for tier in range(stage.tiers)
        }
        gates = {stage: EmptyOperator(task_id=f"{GATE_ID}_{stage}") for stage in pipeline.inspectable}
        results = [
            EmptyOperator(task_id=name.removeprefix("batches.")) for name in (ROUTES_TASK, RETRIES_TASK, WORK_TASK)
        ]
    prepared >> [*lists.values(), *gates.values(), *results]
    row: dict[str, Any] = {}
    for stage in pipeline.stages:
        with TaskGroup(stage.name):
            for tier in range(stage.tiers):
                row[node(stage.name, tier)] = _tier(stage, tier, lists[stage.name, tier])
            if stage.name in gates:
                gate = InspectionGate.partial(stage=stage.name, **GATE_SETTINGS)
                row[gate_node(stage.name)] = gate.expand(subject=gates[stage.name].output)
    for name, awaited in barriers(pipeline).items():
        row[name].set_upstream([row[other] for other in awaited] or prepared)
    if has_cluster():
        _add_machines(pipeline, {"prepare": prepared, **row})


def machine_spans(pipeline: Pipeline) -> list[tuple[Stage, Stage]]:
    """The first and the last stage of each stretch for which a cluster sets up machines of one kind."""
    spans: list[tuple[Stage, Stage]] = []
    for stage in (stage for stage in pipeline.stages if stage.work[0] != "manager"):
        if spans and spans[-1][1].work[0] == stage.work[0]:
            spans[-1] = (spans[-1][0], stage)
        else:
            spans.append((stage, stage))
    return spans


def _add_machines(pipeline: Pipeline, nodes_by_name: Mapping[str, Any]) -> None:
    """A pair of setup and teardown around each span of stages that needs machines."""
    names, row = list(nodes_by_name), list(nodes_by_name.values())
    for first, last in machine_spans(pipeline):
        begin, end = names.index(node(first.name, 0)), names.index(node(last.name, last.tiers - 1))
        # The gates in between wait for people: machines with nothing to do are removed by the scaling meanwhile.
        nodes = [name for name in names[begin : end + 1] if not name.endswith(GATE_ID)]
        begun, done = machines_for(first.name, nodes)
        # Airflow wants everything behind a setup to need its success, and the tiers pass over skipped ones.
        ready = EmptyOperator(task_id=f"machines_{first.name}_ready")
        row[begin - 1] >> begun >> ready >> row[begin]
        row[end] >> done
    row[-1] >> unless_cancelled()


def _prepare(pipeline: Pipeline) -> Any:
    @task(task_id="prepare", pool="manager", queue="manager", priority_weight=10, multiple_outputs=False)
    def prepare() -> None:
        _prepare_run(pipeline)

    return prepare()


def _prepare_run(pipeline: Pipeline) -> None:
    """Check the parameters and the input, write the plan, say which queues its tasks go to, and fill the lists
    that tiers expand by.
    """
    from seuron.engine.gates import stages_to_inspect
    from seuron.orchestration.pending_work import NodeWork
    from seuron.orchestration.queue_capacity import routes_of

    context: Mapping[str, Any] = get_current_context()
    run = _prepared(pipeline, context)
    routes = routes_of(run.plan, context["ti"].xcom_pull(task_ids=ROUTES_TASK) or {})
    _give_result(context, ROUTES_TASK, {name: list(route) for name, route in routes.items()})
    work: dict[str, NodeWork] = {}
    asked = stages_to_inspect(run)
    busy: list[str] = []
    written = run.finished_ids()
    for stage in pipeline.stages:
        planned = run.plan.stage(stage.name).tiers
        for number in range(stage.tiers):
            tier = planned[number] if number < len(planned) else ()
            left = [
                [task.id, run.keys.of(task)] for task in tier if task.id not in written or run.finished(task.id) is None
            ]
            _give_result(context, f"batches.{_list_name(stage.name, number)}", left)
            busy += [node(stage.name, number)] * bool(left)
            if isinstance(tier, Tier):
                work[node(stage.name, number)] = {
                    "queue": routes[node(stage.name, number)][0],
                    "tasks": len(left),
                    "seconds": tier.seconds / len(tier),
                }
        if stage.name in pipeline.inspectable:
            subjects = [f"Is {stage.name.replace('_', ' ')} good enough to go on?"] if stage.name in asked else []
            _give_result(context, f"batches.{GATE_ID}_{stage.name}", subjects)
            busy += [gate_node(stage.name)] * bool(subjects)
    _give_result(context, WORK_TASK, work)
    # With a cluster, its machines come before the first of a span of nodes and go after the last, skipped or not.
    skipped = skippable(barriers(pipeline), busy) if not has_cluster() else []
    if skipped:
        raise DownstreamTasksSkipped(tasks=skipped)  # type: ignore[no-untyped-call]


def _prepared(pipeline: Pipeline, context: Mapping[str, Any]) -> Run:
    """The run, written down. What is wrong becomes the note of Airflow's run, and is final unless a retry may help."""
    from seuron.engine.setup import parse_run, prepare_run
    from seuron.errors import PermanentError, SeuronError
    from seuron.orchestration.queue_capacity import tasks_at_once

    try:
        run = prepare_run(parse_run(pipeline, *filled(pipeline, context["params"])), tasks_at_once())
        for warning in pipeline.warnings(run.params, run.facts):
            log.warning(warning)
    except (SeuronError, OSError, *UNEXPECTED_ERRORS) as error:
        leave_note(context, note_of(error))
        if isinstance(error, SeuronError) or not is_final(error):
            raise
        raise PermanentError(f"the run cannot be prepared: {note_of(error)}") from error
    return run


def _give_result(context: Mapping[str, Any], task_id: str, result: Any) -> None:
    """Give an empty task its result: for a list that a tier expands by, the id and the key of each task.

    Airflow expands over the whole result of a task, never over a part of it, so each tier needs a
    task of its own to expand by. Twenty real tasks would cost four seconds of processor time a
    run to hand over what `prepare` knows already. Empty tasks cost nothing, as the scheduler passes
    them without starting a process, and `prepare` writes their results for them.
    """
    run = context["dag_run"]
    BaseXCom.set(
        BaseXCom.XCOM_RETURN_KEY,
        result,
        dag_id=run.dag_id,
        run_id=run.run_id,
        task_id=task_id,
        _mapped_length=len(result) if isinstance(result, list) else None,
    )


def _list_name(stage: str, tier: int) -> str:
    return f"{stage}_{tier}"


def _tier(stage: Stage, tier: int, batches: BaseOperator) -> Any:
    """One mapped task: every task of a tier."""
    work, reports = stage.work[tier], stage.name == REPORT_STAGE

    @task(
        task_id=f"tier_{tier}",
        pool=work,
        queue=work,
        trigger_rule="none_failed",
        map_index_template="{{ label }}",
        do_xcom_push=False,
    )
    def run_planned_task(planned_task: list[str]) -> None:
        from seuron.engine.execute import run_task
        from seuron.engine.run import Run
        from seuron.orchestration.budget import defer_if_over_budget
        from seuron.orchestration.retry_reasons import PLANNED, record_incidents

        context: Any = get_current_context()
        task_id, key = planned_task
        context[PLANNED] = task_id
        run = Run.open(context["params"]["output"])
        planned = run.plan.find(task_id)
        if planned is not None:  # it may not be there: run_task then says why
            context["label"] = planned.label
        if work != "manager":  # which costs nothing more
            defer_if_over_budget(run)
        if reports:
            record_incidents(context, run)
        run_task(run, task_id, key, context["ti"].try_number)

    return run_planned_task.expand(planned_task=batches.output)
