"""A handle of a run: its status, its end, and what can be done with it."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seuron.airflow_rest.client import NoAnswerError
from seuron.airflow_rest.entities import DagRun, TaskError
from seuron.client.logs import TaskLog, task_logs
from seuron.client.run_names import short_name
from seuron.client.run_status import RunStatus, status_of_folder, status_of_start
from seuron.engine.states import Kind, Stop, write_stop
from seuron.errors import NotFoundError, RunError
from seuron.storage import Storage, local_folder
from seuron.storage.allowed_paths import check_path, is_allowed

if TYPE_CHECKING:
    from seuron.client.deployment import DeploymentClient
    from seuron.cluster.costs.run_costs import RunCosts
    from seuron.engine.invalidation import Invalidated
    from seuron.engine.run import Run
    from seuron.pipelines.segmentation.analysis import Explanation, Sweep

#: Seconds between requests for a run's tasks while it is waited for; its state is requested more often.
POLL_SECONDS = 2.0
#: Airflow may answer 500 to a change of a run that its scheduler is changing, as one that was started just now. The
#: request sets a state and is no step, so it is repeated: so often, and after so many seconds each time.
TRIES, PAUSE_SECONDS = 8, 0.5


@dataclass(frozen=True)
class RunHandle:
    """A run: its DAG, the id of its start in Airflow, and its folder.

    `id` is empty for a run that Airflow does not know, such as one that was done without it.
    """

    deployment: DeploymentClient
    dag: str
    id: str
    output: str

    @property
    def name(self) -> str:
        """What people call it: the last part of its folder."""
        return short_name(self.output, self.id)

    @property
    def url(self) -> str:
        """The page where Airflow shows it; empty where Airflow does not know it."""
        return self.deployment.client.run_url(self.dag, self.id) if self.id else ""

    def status(self, *, stages: bool = True) -> RunStatus:
        """The status of the run now; without `stages` only its state."""
        if not self.id:
            return status_of_folder(self.folder(), self.dag)
        client = self.deployment.client
        return status_of_start(client, client.dag_run(self.dag, self.id), self.storage(), stages=stages)

    def wait(
        self, on_progress: Callable[[RunStatus], None] | None = None, *, seconds: float | None = None
    ) -> RunStatus:
        """Follow the run to its end and return its status then; `on_progress` gets a status every two seconds.

        A deployment that restarts meanwhile is waited for. Raises RunError when it takes over `seconds`.
        """
        self._check_in_airflow()
        shown = 0.0

        def show(state: str) -> None:
            nonlocal shown
            if on_progress is not None and time.monotonic() - shown > POLL_SECONDS:
                on_progress(self.status())
                shown = time.monotonic()

        self.deployment.client.wait(self.dag, self.id, on_poll=show, seconds=seconds)
        status = self.status()
        if on_progress is not None:
            on_progress(status)
        return status

    def cancel(self, why: str = "", by: str = "") -> Stop:
        """End the run for good. Who, when and why is stored first, so that it does not count as failed."""
        return self._stop("cancelled", why, by)

    def pause(self, why: str = "", by: str = "") -> Stop:
        """End running tasks, to resume later with `redo()`: their work is lost, what is finished is kept."""
        return self._stop("paused", why, by)

    def redo(self, stage: str | None = None) -> tuple[RunHandle, Invalidated | None]:
        """Start the run again with its parameters; it resumes where it was.

        With a `stage`, that stage and all that depends on it are invalidated first (`seuron.engine.invalidation`).
        """
        from seuron.engine.invalidation import invalidate

        if self.id and not self.deployment.client.dag_run(self.dag, self.id).finished:
            raise RunError(
                f"{self.name} is running: {self.url}. Cancel it, or wait for its end, then give this command again"
            )
        conf = self.parameters()
        invalidated = invalidate(self.folder(), stage) if stage is not None else None
        return self.deployment.start(self.dag, conf), invalidated

    def parameters(self) -> dict[str, Any]:
        """What the run was started with."""
        if self.id:
            return self.deployment.client.run_parameters(self.dag, self.id)
        values: dict[str, Any] = self.folder().params.model_dump(mode="json")
        return values

    def logs(self, task: str | None = None) -> list[TaskLog]:
        """The logs of a task, by its label or id; of those that failed, or of the last one, without one."""
        self._check_in_airflow()
        return task_logs(self.deployment.client, self.dag, self.id, task)

    def errors(self, limit: int = 5) -> list[TaskError]:
        """Why its failed tasks failed, the first ones."""
        return self.deployment.client.task_errors(self.dag, self.id, limit=limit) if self.id else []

    def report(self) -> str:
        """The path of the run's report, which is made again while the run is not complete."""
        from seuron.reporting.report import REPORT, write_report

        run = self.folder()
        if run.storage.get(REPORT) is None or len(run.records()) < len(run.plan.tasks):
            write_report(run)
        return f"{run.output}/{REPORT}"

    def cost(self) -> RunCosts | None:
        """What the run has cost on a cluster, None where none has run its tasks."""
        from seuron.cluster.costs.run_costs import read_costs

        return read_costs(self.folder().storage)

    def sweep(self, thresholds: Sequence[float], rules: Sequence[str] = ()) -> Sweep:
        """What other thresholds, and rules by their names, would have given; read from the run's tables."""
        from seuron.pipelines.segmentation.analysis import rules_by_name, sweep_run

        run = self.folder()
        return sweep_run(run, thresholds, rules=rules_by_name(run, rules) if rules else None)

    def explain(self, first: int | tuple[int, int, int], second: int | tuple[int, int, int]) -> Explanation:
        """Why two pieces, ids or voxels, are one segment or not."""
        from seuron.pipelines.segmentation.analysis import explain_run

        return explain_run(self.folder(), first, second)

    def folder(self) -> Run:
        """The run in its folder; raises RunError where that is not prepared, or not reached from here."""
        from seuron.engine.run import Run

        check_path(self.output, "output", "output")
        storage = self.storage()
        if storage is None:
            raise RunError(
                f"the folder of {self.name}, {self.output}, is on a machine of {self.deployment.url} "
                "and not on this one; give the command there, or have runs write to a shared folder or a bucket"
            )
        return Run.open(storage.path)

    def storage(self) -> Storage | None:
        """The run's folder; None where it cannot be reached from here, or the owner allows no runs there."""
        if not self.output or not is_allowed(self.output, "output"):
            return None
        storage, folder = Storage(self.output), local_folder(self.output)
        there = self.deployment.is_local or folder is None or (folder / "run.json").exists()
        return storage if there else None

    def _stop(self, kind: Kind, why: str, by: str) -> Stop:
        self._check_in_airflow()
        client, row = self.deployment.client, self._row()
        if row.finished:
            raise RunError(f"{self.name} has ended already ({self.status(stages=False).state}): {self.url}")
        who = " ".join((by or getpass.getuser()).split())
        stop = Stop(self.id, kind, who, time.time(), why.strip())
        _retry(lambda: client.write_note(self.dag, self.id, stop.note))
        storage = self.storage()
        written = False
        try:
            written = storage is not None and write_stop(storage, stop)
        finally:  # a folder that cannot be written must not keep machines running
            _retry(lambda: client.cancel(self.dag, self.id))
        if not written and storage is not None:
            write_stop(storage, stop)  # it may have been prepared just now
        return stop

    def _row(self) -> DagRun:
        return self.deployment.client.dag_run(self.dag, self.id)

    def _check_in_airflow(self) -> None:
        if not self.id:
            raise NotFoundError(f"Airflow knows no start of {self.output}: it was made without it, or elsewhere")


def _retry(ask: Callable[[], None]) -> None:
    """Repeat an idempotent request until Airflow has an answer; raises NoAnswerError when it has none."""
    for _ in range(TRIES - 1):
        try:
            return ask()
        except NoAnswerError:
            time.sleep(PAUSE_SECONDS)
    return ask()
