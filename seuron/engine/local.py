"""A run without Airflow: the same plan and the same tasks, in this process or a pool of processes."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from seuron.engine.execute import run_task
from seuron.engine.plan import Tier
from seuron.engine.records import TaskRecord
from seuron.engine.run import Run
from seuron.engine.setup import prepare_run
from seuron.errors import ParameterErrors, RunError
from seuron.params.run_parameters import RunParameters

_PR_SET_PDEATHSIG = 1

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
    # Spawned, not forked: a fork of a process that has threads (torch, numba, cloud-volume) may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent) as pool:
        try:
            for tier in run.plan.tiers():
                yield from _as_completed(run, pool, tier)
        except BrokenProcessPool as error:
            raise RunError(
                f"a worker process died (killed, or out of memory) during the run in {run.output}; "
                "start the run again: it goes on with what is not finished"
            ) from error


def end_with_parent() -> None:
    """Have the system kill this process when the one that started it is gone, killed or not (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():  # it went before the system was asked
        os._exit(1)


def _as_completed(run: Run, pool: ProcessPoolExecutor, tier: Tier) -> Iterator[TaskRecord]:
    pending: set[Future[TaskRecord]] = {pool.submit(_work, run.output, task.id, run.keys.of(task)) for task in tier}
    try:
        while pending:
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)
    finally:
        for future in pending:
            future.cancel()


def _work(output: str, task_id: str, key: str) -> TaskRecord:
    return run_task(Run.open(output), task_id, key)
