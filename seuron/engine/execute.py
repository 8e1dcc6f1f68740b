"""Running one task of a run: the function that every runner calls, with or without Airflow."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Callable
from importlib import import_module

from seuron.engine.pipeline import Counts, Inputs
from seuron.engine.plan import Task
from seuron.engine.records import Outcome, TaskRecord
from seuron.engine.run import Run
from seuron.errors import DamagedTableError, RunError
from seuron.storage.digests import digest_of_data
from seuron.storage.garbage_collection import refuse_while_collected
from seuron.storage.locks import TaskLock, locked


def run_task(run: Run, task_id: str, key: str | None = None, tries: int = 1) -> TaskRecord:
    """Do a task unless it is done; returns its record.

    `key` is that of the task when it was handed out, by default that of `run`; `tries` counts how often it has been
    begun by now, for its record. Safe to call twice,
    also at the same time: every output is a function of what the task reads and written whole, and
    the record comes last. Raises ReplacedRunError when the run in the output folder has been started
    again meanwhile and the task has another key now. Raises DamagedTableError for a damaged table of another task,
    which counts as not done from then on.
    """
    task = run.plan.find(task_id)
    if task is None:
        if key is not None:
            run.check_current(task_id, key)
        raise RunError(f"the run in {run.output} has no task {task_id!r}; its stages and tiers are in plan.json")
    wanted = run.keys.of(task) if key is None else key
    # The lock comes first: who starts the run again looks for locks after it has written run.json.
    with locked(run.storage, f"locks/{task_id}.json", TaskLock(f"the task {task.label}", wanted)):
        run.check_current(task_id, wanted)
        refuse_while_collected(run.store)
        try:
            return run.finished(task_id) or _run_unless_unchanged(run, task, tries)
        except DamagedTableError as error:
            run.store.withdraw(error.path)
            raise DamagedTableError(
                error.path, error.problem, "start the run again: the task that made it makes it again"
            ) from error


def _run_unless_unchanged(run: Run, task: Task, tries: int) -> TaskRecord:
    """Do a task, if what it reads is not what its result was made from already."""
    started, clock, cpu = time.time(), time.perf_counter(), time.process_time()
    module = import_module(run.pipeline.stage(task.stage).module)
    inputs: Inputs = module.inputs(run, task)
    outcome, name, counts = _known(run, task, inputs) or _compute(run, task, inputs, module.run)
    record = TaskRecord(
        task_id=task.id,
        stage=task.stage,
        tier=task.tier,
        key=run.keys.of(task),
        seconds=round(time.perf_counter() - clock, 4),
        cpu_seconds=round(time.process_time() - cpu, 4),
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        started=started,
        ended=time.time(),
        host=f"{socket.gethostname()}:{os.getpid()}",
        counts={name: int(n) if float(n).is_integer() else float(n) for name, n in counts.items()},
        inputs=inputs,
        object=name,
        outcome=outcome,
        tries=tries,
    )
    run.finish(record)
    return record


def _known(run: Run, task: Task, inputs: Inputs) -> tuple[Outcome, str, Counts] | None:
    """A result that was made from these inputs, if there is one: the task's own earlier one, or one in the store."""
    before, name = run.earlier(task.id), digest_of_data(inputs)
    usable = before is not None and (not before.object or run.store.manifest(before.object) is not None)
    if before is not None and usable and before.inputs == inputs:
        return "unchanged", before.object, before.counts
    if run.pipeline.stage(task.stage).shareable(task) and (manifest := run.store.manifest(name)) is not None:
        return "reused", name, manifest.counts
    return None


def _compute(run: Run, task: Task, inputs: Inputs, work: Callable[[Run, Task], Counts]) -> tuple[Outcome, str, Counts]:
    before, name = run.earlier(task.id), digest_of_data(inputs)
    if before is not None:
        same = {part: digest for part, digest in before.inputs.items() if inputs.get(part) == digest}
        run.invalidate_record(task.id, same)
    with run.writing(task.id, name) as tables:
        counts = work(run, task)
    if not tables.tables:
        return "computed", "", counts
    run.store.finish(tables, task.id, counts)
    return "computed", name, counts
