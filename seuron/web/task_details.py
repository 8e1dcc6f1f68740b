"""The details of one task of a run: what it has to do, and, once it is done, how that went."""

from __future__ import annotations

from typing import Any

from seuron.web.snapshot import RunSnapshot


def task_details(snapshot: RunSnapshot, task_id: str) -> dict[str, Any] | None:
    """A task as plain data; None where the run has no such task.

    Boxes are in voxels of the run's scale, times in s, memory in bytes.
    """
    run = snapshot.run
    task = run.plan.find(task_id)
    if task is None:
        return None
    record = run.record(task_id)
    return {
        "id": task.id,
        "label": task.label,
        "stage": task.stage,
        "tier": task.tier,
        "role": task.role,
        "layer": task.layer,
        "box": [list(task.box.minimum), list(task.box.maximum)],
        "chunks": run.pipeline.chunks(run, task),
        "planned": {"seconds": task.seconds, "memory": task.memory_bytes},
        "reads": sum(1 for _ in run.reads(task)),
        "state": "done" if record else "running" if task_id in snapshot.running else "waiting",
        "record": None
        if record is None
        else {
            "outcome": record.outcome,
            "seconds": record.seconds,
            "cpu_seconds": record.cpu_seconds,
            "memory": record.peak_bytes,
            "started": record.started,
            "ended": record.ended,
            "host": record.host,
            "counts": record.counts,
        },
    }
