"""The DAG of a segmentation: one graph for every volume, filled from the run's plan at run time.

`prepare` checks the parameters and writes the plan. Each stage is then a fixed row of tiers; each
tier is one mapped task, expanded to as many tasks as the plan has. A tier that the volume does not
need, or that an earlier try has finished, is skipped, and skipped tiers block nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import (
    DAG,
    BaseOperator,
    TaskGroup,
    get_current_context,
    task,
)
from airflow.sdk.bases.xcom import BaseXCom

from seuron.engine.plan import MAX_TIERS, Work
from seuron.orchestration.form import filled, form_parameters
from seuron.orchestration.gates import GATE_ID, InspectionGate
from seuron.orchestration.gates import SETTINGS as GATE_SETTINGS
from seuron.orchestration.notes import leave_note
from seuron.orchestration.retrying import FewTries
from seuron.orchestration.routing import DAG_ID, ROUTES_TASK, TROUBLES_TASK, WORK_TASK, node
from seuron.orchestration.scaling import has_cluster, machines_for, unless_cancelled
from seuron.orchestration.telling import run_hooks, task_hooks
from seuron.pipelines.segmentation.params import INSPECTED_STAGES, SegmentationParams

#: A passing fault (a lost connection, a full disk that someone clears) gets some minutes in all: 5, 10, 20,
#: 40 and 60 s. A permanent one would come back every time. A lost worker raises nothing, so the policy is
#: not asked: such a task is tried again until its retries are used up, as cheap instances vanish often.
EXCEPTION_TRIES = 6
RETRIES: dict[str, Any] = {
    "retries": 20,
    "retry_delay": timedelta(seconds=5),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=1),
    "retry_policy": FewTries(EXCEPTION_TRIES),
}

#: `absolute`: by default Airflow ranks a task by how much depends on it, so that a large run would
#: starve a small one that was started later.
PRIORITIES: dict[str, Any] = {"weight_rule": "absolute"}

#: The stages around which a cluster sets machines up, first and last; what is between needs them as well.
MACHINES: tuple[tuple[str, str], ...] = (("affinities", "affinities"), ("watershed", "evaluation"))


def tier_work(stage: str, tier: int) -> Work:
    """What kind of work a tier's tasks are: the queue and pool that its node names.

    A run's plan may send them to another queue of that kind (seuron.orchestration.routing).
    """
    if stage == "affinities":
        return "gpu"
    return "manager" if stage == "report" or (stage == "evaluation" and tier > 0) else "cpu"


def segmentation_dag(doc_md: str | None = None) -> DAG:
    """The DAG; `doc_md` is what its page says."""
    with DAG(
        DAG_ID,
        schedule=None,
        description="An EM volume becomes affinities, supervoxels and segments",
        doc_md=doc_md,
        params=form_parameters(SegmentationParams),
        max_active_tasks=100_000,
        default_args={**RETRIES, **PRIORITIES, **task_hooks()},
        tags=["seuron"],
        **run_hooks(),
    ) as dag:
        _add_tiers(_prepare())
    return dag


def _add_tiers(prepared: Any) -> None:
    """The stages' tiers in a row behind `prepare`, each with a barrier to the one before it."""
    with TaskGroup("batches", tooltip="What each tier expands to; filled by prepare"):
        lists = {
            (stage, tier): EmptyOperator(task_id=_list_name(stage, tier))
            for stage, tiers in MAX_TIERS.items()
            for tier in range(tiers)
        }
        gates = {stage: EmptyOperator(task_id=f"{GATE_ID}_{stage}") for stage in MAX_TIERS if stage in INSPECTED_STAGES}
        told = [
            EmptyOperator(task_id=name.removeprefix("batches.")) for name in (ROUTES_TASK, TROUBLES_TASK, WORK_TASK)
        ]
    prepared >> [*lists.values(), *gates.values(), *told]
    row: list[Any] = [prepared]
    places = {}
    for stage, tiers in MAX_TIERS.items():
        with TaskGroup(stage):
            for tier in range(tiers):
                tasks = _tier(stage, tier, lists[stage, tier])
                row[-1] >> tasks
                places[stage, tier] = len(row)
                row.append(tasks)
            if stage in gates:
                gate = InspectionGate.partial(stage=stage, **GATE_SETTINGS).expand(subject=gates[stage].output)
                row[-1] >> gate
                row.append(gate)
    if has_cluster():
        _add_machines(row, places)


def _add_machines(row: Sequence[Any], places: Mapping[tuple[str, int], int]) -> None:
    """A pair of setup and teardown around each span of stages that needs machines."""
    for first, last in MACHINES:
        begin, end = places[first, 0], places[last, MAX_TIERS[last] - 1]
        # The gates in between wait for people: machines with nothing to do are removed by the scaling meanwhile.
        nodes = [node(*tier) for tier, place in places.items() if begin <= place <= end]
        begun, done = machines_for(first, nodes)
        # Airflow wants everything behind a setup to need its success, and the tiers pass over skipped ones.
        ready = EmptyOperator(task_id=f"machines_{first}_ready")
        row[begin - 1] >> begun >> ready >> row[begin]
        row[end] >> done
    row[-1] >> unless_cancelled()


@task(task_id="prepare", pool="manager", queue="manager", priority_weight=10, multiple_outputs=False)
def _prepare() -> None:
    """Check the parameters and the input, write the plan, say which queues its tasks go to, and fill the lists
    that tiers expand by.
    """
    from seuron.engine.gates import stages_to_inspect
    from seuron.engine.run import prepare_run
    from seuron.errors import SeuronError
    from seuron.orchestration.offers import routes_of
    from seuron.orchestration.work import NodeWork
    from seuron.pipelines.segmentation.checks import parse_run

    context: Mapping[str, Any] = get_current_context()
    try:
        run = prepare_run(parse_run(filled(SegmentationParams, context["params"])))
    except SeuronError as error:
        leave_note(context, str(error))
        raise
    routes = routes_of(run.plan, context["ti"].xcom_pull(task_ids=ROUTES_TASK) or {})
    _give_result(context, ROUTES_TASK, {name: list(route) for name, route in routes.items()})
    work: dict[str, NodeWork] = {}
    for stage, tiers in MAX_TIERS.items():
        planned = run.plan.stage(stage).tiers
        for tier in range(tiers):
            tasks = planned[tier] if tier < len(planned) else ()
            left = [[task.id, run.keys[task.id]] for task in tasks if run.finished(task.id) is None]
            _give_result(context, f"batches.{_list_name(stage, tier)}", left)
            if tasks:
                seconds = sum(task.seconds for task in tasks) / len(tasks)
                work[node(stage, tier)] = {
                    "queue": routes[node(stage, tier)][0],
                    "tasks": len(left),
                    "seconds": seconds,
                }
    _give_result(context, WORK_TASK, work)
    asked = stages_to_inspect(run)
    for stage in INSPECTED_STAGES:
        subjects = [f"Is {stage.replace('_', ' ')} good enough to go on?"] if stage in asked else []
        _give_result(context, f"batches.{GATE_ID}_{stage}", subjects)


def _give_result(context: Mapping[str, Any], task_id: str, result: Any) -> None:
    """Give an empty task its result: for a list that a tier expands by, the id and the key of each task.

    Airflow expands over the whole result of a task, never over a part of it, so each tier needs a
    task of its own to expand by. Nineteen real tasks would cost four seconds of processor time a
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


def _tier(stage: str, tier: int, batches: BaseOperator) -> Any:
    """One mapped task: every task of a tier."""
    work = tier_work(stage, tier)

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
        from seuron.orchestration.holding import refuse_when_spent
        from seuron.orchestration.troubles import PLANNED, tell_what_happened

        context: Any = get_current_context()
        task_id, key = planned_task
        context[PLANNED] = task_id
        run = Run.open(context["params"]["output"])
        if task_id in run.plan.tasks:  # it may not be: run_task then says why
            context["label"] = run.plan.tasks[task_id].label
        if work != "manager":  # which costs nothing more
            refuse_when_spent(run)
        if stage == "report":
            tell_what_happened(context, run)
        run_task(run, task_id, key, context["ti"].try_number)

    return run_planned_task.expand(planned_task=batches.output)
