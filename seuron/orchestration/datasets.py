"""The DAGs of datasets: one for each file in the datasets' folder, all with the same nodes.

    acquire -> detect -> draft -> run -> wait -> publish -> prune
                                                       \\-> notify

The work itself is a run of the pipeline's own DAG, which `run` triggers and `wait` waits for: so the commands,
pages, costs and queues of runs apply to it as to any other. `acquire` and `wait` release their slot between pokes,
and need no triggerer.

A file is read when the DAGs are parsed, for its name and schedule only, and again by each node. One that is wrong
keeps its DAG, without a schedule, whose `acquire` says what is wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import (
    DAG,
    Asset,
    CronTriggerTimetable,
    get_current_context,
    get_parsing_context,
    task,
)
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from seuron.datasets.files import Dataset, datasets_folder, read_datasets
from seuron.datasets.names import DAG_ID, asset_name, asset_uri, dag_of, is_dataset_name
from seuron.orchestration.cluster_steps import MANAGER_TASK
from seuron.orchestration.pipeline_dag import PRIORITIES, RETRIES

if TYPE_CHECKING:
    from seuron.errors import ParameterErrors

log = logging.getLogger(__name__)

_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
#: Sensors poke again after so many seconds; each poke is a process of some tenths of a second.
ACQUIRE_SECONDS, WAIT_SECONDS = 20.0, 20.0
#: A run may take long; one that takes longer than this needs a person.
LONGEST_RUN = timedelta(days=60)
NODE: dict[str, Any] = {"queue": "manager", "pool": "manager", "priority_weight": 10}
PROBLEM = "problem"


def datasets_dag(doc_md: str | None = None) -> DAG:
    """The DAG that checks all files and their volumes, when somebody starts it."""
    with DAG(
        DAG_ID,
        schedule=None,
        description="Checks the files of all datasets, and the volumes that they name",
        doc_md=doc_md,
        default_args=PRIORITIES,
        tags=["seuron"],
    ) as dag:

        @task(task_id="check", retries=0, **MANAGER_TASK)
        def check() -> None:
            """Fail with all that is wrong."""
            from seuron.datasets.checks import problems_of_all
            from seuron.errors import ParameterErrors

            problems = problems_of_all(read_datasets(datasets_folder()))
            if problems:
                raise ParameterErrors(problems, "the datasets")

        check()
    return dag


def dataset_dags() -> dict[str, DAG]:
    """A DAG for each dataset; where Airflow parses for one task's sake, only that task's."""
    wanted = get_parsing_context().dag_id
    if wanted == DAG_ID:
        return {}
    registered = read_datasets(datasets_folder(), outline=True)
    made = {dag_of(name): (dataset, None) for name, dataset in registered.datasets.items()}
    # A file whose name no DAG can have is named by the DAG `datasets` and by `datasets list`.
    wrong = {dag_of(name): (None, error) for name, error in registered.wrong.items() if is_dataset_name(name)}
    found: dict[str, tuple[Dataset | None, ParameterErrors | None]] = {**made, **wrong}
    return {
        dag_id: _dataset_dag(dag_id, dataset, error)
        for dag_id, (dataset, error) in found.items()
        if wanted in (None, dag_id)
    }


def _dataset_dag(dag_id: str, dataset: Dataset | None, error: ParameterErrors | None) -> DAG:
    name = dag_id.removeprefix(dag_of(""))
    with DAG(
        dag_id,
        schedule=None if dataset is None else _schedule(dataset),
        start_date=_EPOCH,
        catchup=False,
        max_active_runs=1,
        description=dataset.table.description or f"The dataset {name}" if dataset else "Its file is wrong",
        doc_md=f"The dataset `{name}`: docs/datasets.md." if error is None else f"```\n{error}\n```",
        default_args={**RETRIES, **PRIORITIES},
        tags=["seuron", "dataset"],
    ) as dag:
        _add_nodes(name, dataset.pipeline.name if dataset else "segmentation")
    return dag


def _schedule(dataset: Dataset) -> Any:
    times = dataset.schedule
    if times.cron is not None:
        return CronTriggerTimetable(times.cron, timezone=times.timezone)
    if times.watch_minutes is not None:
        return timedelta(minutes=times.watch_minutes)
    if times.asset is not None:
        return [Asset(times.asset)]
    return None if times.after is None else [asset_of(times.after)]


def asset_of(name: str) -> Asset:
    """The asset that a dataset's publications are events of."""
    return Asset(name=asset_name(name), uri=asset_uri(name))


def _add_nodes(name: str, pipeline: str) -> None:
    drafted = _draft(name)
    started = TriggerDagRunOperator(
        task_id="run",
        trigger_dag_id=pipeline,
        trigger_run_id=drafted["run_id"],
        conf=drafted["conf"],
        # A request that Airflow's client sends again, as on a busy machine, finds the run that it has made.
        skip_when_already_exists=True,
        note=f"a version of the dataset {name}",
        **NODE,
    )
    published = _publish(name)
    waited = _wait(name, pipeline)
    _acquire(name) >> _detect(name) >> drafted >> started >> waited >> published
    drafted >> waited  # which runs if `run` was skipped, and not if both were
    published >> _prune(name)
    published >> _notify(name)


def _acquire(name: str) -> Any:
    @task.sensor(
        task_id="acquire", mode="reschedule", poke_interval=ACQUIRE_SECONDS, timeout=LONGEST_RUN.total_seconds(), **NODE
    )
    def acquire() -> bool:
        """Wait until no other run of this dataset is active."""
        from seuron.datasets.run_mutex import try_acquire

        context: Any = get_current_context()
        with _reporting_problem(context):
            published = _dataset(name).published
        ti = context["ti"]

        def active(run_id: str) -> bool:
            return bool(ti.get_dr_count(dag_id=ti.dag_id, run_ids=[run_id], states=["running"]))

        return try_acquire(published.storage, str(context["run_id"]), active)

    return acquire()


def _detect(name: str) -> Any:
    @task(task_id="detect", multiple_outputs=False, **NODE)
    def detect() -> dict[str, Any]:
        """Finish what a killed process left, and say what has changed; skip the rest where nothing has."""
        from seuron.datasets.change_detection import detect_changes, same_as_last

        context: Any = get_current_context()
        with _reporting_problem(context):
            dataset = _dataset(name)
            dataset.published.recover()
            found = detect_changes(dataset)
        if not found.changed:
            raise AirflowSkipException("nothing has changed since the last version")
        unchanged = same_as_last(dataset.published, found)
        if dataset.schedule.watch_minutes is not None and context["dag_run"].run_type != "manual" and not unchanged:
            raise AirflowSkipException("the input has changed since the last check, and may still be being written")
        for reason in found.reasons:
            log.info("%s", reason)
        return {"number": found.number, "base": found.base, "reasons": list(found.reasons)}

    return detect()


def _draft(name: str) -> Any:
    @task(task_id="draft", multiple_outputs=True, **NODE)
    def draft() -> dict[str, Any]:
        """Make the version's folder, from the version before it where that can be; says what to run."""
        from seuron.datasets.change_detection import needs_empty_folder
        from seuron.datasets.drafts import discard_draft, make_draft

        context: Any = get_current_context()
        found = context["ti"].xcom_pull(task_ids="detect")
        with _reporting_problem(context):
            dataset = _dataset(name)
            if needs_empty_folder(dataset, found["number"]):
                discard_draft(dataset.published, found["number"])
            folder = make_draft(dataset.published, found["number"], found["base"])
            conf = dataset.params(folder).model_dump(mode="json")
        run_id = f"{dag_of(name)}__{found['number']:04d}__{datetime.now(UTC):%Y%m%dT%H%M%S}"
        return {"conf": conf, "run_id": run_id}

    return draft()


def _wait(name: str, pipeline: str) -> Any:
    @task.sensor(
        task_id="wait",
        mode="reschedule",
        poke_interval=WAIT_SECONDS,
        timeout=LONGEST_RUN.total_seconds(),
        trigger_rule="none_failed_min_one_success",
        **NODE,
    )
    def wait() -> bool:
        """Wait for the end of the run that was started."""
        context: Any = get_current_context()
        ti = context["ti"]
        run_id = ti.xcom_pull(task_ids="draft", key="run_id")

        def is_in(*states: str) -> bool:
            return bool(ti.get_dr_count(dag_id=pipeline, run_ids=[run_id], states=list(states)))

        if is_in("success"):
            return True
        if is_in("queued", "running"):
            return False
        problem = (
            f"the run {run_id} of {pipeline} has failed, or somebody ended it: `seuron status {run_id}` says why. "
            f"When the cause is fixed, `seuron datasets run {name}` resumes from what it has finished"
        )
        ti.xcom_push(key=PROBLEM, value=problem)
        raise AirflowFailException(problem)

    return wait()


def _publish(name: str) -> Any:
    @task(task_id="publish", outlets=[asset_of(name)], **NODE)
    def publish() -> None:
        """Send readers to the version."""
        from seuron.datasets.drafts import publish_draft

        context: Any = get_current_context()
        found = context["ti"].xcom_pull(task_ids="detect")
        with _reporting_problem(context):
            publish_draft(_dataset(name).published, found["number"], found["reasons"])

    return publish()


def _prune(name: str) -> Any:
    @task(task_id="prune", **NODE)
    def prune() -> None:
        """Remove versions that are older than those that are kept, and the tables that only they used."""
        with _reporting_problem(get_current_context()):
            dataset = _dataset(name)
            removed, _ = dataset.published.prune(dataset.table.keep)
        log.info("Removed versions: %s", ", ".join(map(str, removed)) or "none")

    return prune()


def _notify(name: str) -> Any:
    @task(task_id="notify", trigger_rule="all_done", **NODE)
    def send_notice() -> None:
        """Notify of the new version, or of what failed; nothing where nothing has changed."""
        from seuron.datasets.version_notice import version_notice
        from seuron.notifications.dispatch import notify

        context: Any = get_current_context()
        ti = context["ti"]
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[context["run_id"]])[context["run_id"]]
        if "failed" not in states.values() and states.get("publish") != "success":
            raise AirflowSkipException("nothing has changed, so there is nothing to notify of")
        found = ti.xcom_pull(task_ids="detect") or {"number": None, "reasons": []}
        problems = (ti.xcom_pull(task_ids=node, key=PROBLEM) for node, state in states.items() if state == "failed")
        problem = next(filter(None, problems), "its log says why")
        notice = version_notice(_dataset(name), states, found["number"], found["reasons"], problem, context["run_id"])
        log.log(logging.WARNING if notice.event == "failed" else logging.INFO, "%s", notice.text)
        log.info("%d notified", notify(notice))

    return send_notice()


def _dataset(name: str) -> Dataset:
    """The dataset as its file is now; raises ParameterErrors with all that is wrong with it."""
    return read_datasets(datasets_folder()).named(name)


@contextmanager
def _reporting_problem(context: Mapping[str, Any]) -> Iterator[None]:
    """Leave the message of an error of seuron's for `notify`."""
    from seuron.errors import SeuronError

    try:
        yield
    except SeuronError as error:
        context["ti"].xcom_push(key=PROBLEM, value=str(error))
        raise
