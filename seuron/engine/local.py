"""A run without Airflow: the same plan and the same tasks, in this process or a pool of processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool

from seuron.engine.execute import run_task
from seuron.engine.records import TaskRecord
from seuron.engine.run import Run
from seuron.engine.setup import prepare_run
from seuron.errors import ParameterErrors, RunError
from seuron.params.run_parameters import RunParameters
from seuron.process_pool import as_finished, process_pool

#: Called after each task, with what is done so far and how many tasks there are.
Progress = Callable[[TaskRecord, int, int], None]


def run_local(params: RunParameters, *, workers: int = 1, progress: Progress | None = None) -> Run:
    """Prepare a run and do all of its tasks that are not done yet.

    `workers` above 1 takes that many processes. Raises what a task raises; what was finished stays,
    and the same call goes on from there.
    """
    if params.inspect_after:
        raise ParameterErrors(
            [
                f"`inspect_after`: {', '.join(params.inspect_after)}; without Airflow nobody can be asked. "
                "Leave it out, or start the run in Airflow"
            ]
        )
    run = prepare_run(params)
    records = _in_pool(run, workers) if workers > 1 else _in_process(run)
    for done, record in enumerate(records, start=1):
        if progress is not None:
            progress(record, done, len(run.plan.tasks))
    return run


def _in_process(run: Run) -> Iterator[TaskRecord]:
    for tier in run.plan.tiers():
        yield from (run_task(run, task.id) for task in tier)


def _in_pool(run: Run, workers: int) -> Iterator[TaskRecord]:
    with process_pool(workers) as pool:
        try:
            for tier in run.plan.tiers():
                yield from as_finished(pool, ((_work, (run.output, task.id, run.keys.of(task))) for task in tier))
        except BrokenProcessPool as error:
            raise RunError(
                f"a worker process died (killed, or out of memory) during the run in {run.output}; "
                "start the run again: it goes on with what is not finished"
            ) from error


def _work(output: str, task_id: str, key: str) -> TaskRecord:
    return run_task(Run.open(output), task_id, key)
