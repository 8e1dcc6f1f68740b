"""Running one task of a run: the function that every runner calls, with or without Airflow."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Callable
from importlib import import_module

from seuron.errors import RunError
from seuron.planning import Task
from seuron.runs import Counts, Run, TaskRecord

#: The module that does each stage's work; it has one function, `run(run, task) -> counts`. By name,
#: so that a task loads only what its stage needs (torch takes two seconds).
STAGE_MODULES: dict[str, str] = {
    "affinities": "seuron.segmentation.affinities",
    "watershed": "seuron.segmentation.watershed",
    "supervoxel_names": "seuron.segmentation.naming",
    "agglomeration": "seuron.segmentation.agglomeration",
    "segment_names": "seuron.segmentation.naming",
    "labels": "seuron.segmentation.labels",
    "pyramid": "seuron.segmentation.pyramid",
    "evaluation": "seuron.segmentation.evaluation",
    "report": "seuron.segmentation.report",
}


def run_task(run: Run, task_id: str) -> TaskRecord:
    """Do a task unless it is done; returns its record.

    Safe to call twice, also at the same time: every output is a function of the run and written
    whole, and the record comes last.
    """
    done = run.record(task_id)
    if done is not None:
        return done
    task = run.plan.tasks.get(task_id)
    if task is None:
        raise RunError(f"the run in {run.output} has no task {task_id!r}; its tasks are listed in plan.json")
    work: Callable[[Run, Task], Counts] = import_module(STAGE_MODULES[task.stage]).run
    started, clock, cpu = time.time(), time.perf_counter(), time.process_time()
    counts = work(run, task)
    record = TaskRecord(
        task_id=task.id,
        stage=task.stage,
        tier=task.tier,
        key=run.key,
        seconds=round(time.perf_counter() - clock, 4),
        cpu_seconds=round(time.process_time() - cpu, 4),
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        started=started,
        ended=time.time(),
        host=f"{socket.gethostname()}:{os.getpid()}",
        counts={name: int(n) if float(n).is_integer() else float(n) for name, n in counts.items()},
    )
    run.finish(record)
    return record
