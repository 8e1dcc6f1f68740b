"""What is told of one task of a run: what it has to do, and, once it is done, how that went."""

from __future__ import annotations

from typing import Any

from seuron.engine.plan import NAMING
from seuron.pages.look import Look
from seuron.pages.progress import chunks_in


def task_details(look: Look, task_id: str) -> dict[str, Any] | None:
    """A task as plain data; None where the run has no such task.

    Boxes are in voxels of the run's scale, times in s, memory in bytes.
    """
    run = look.run
    task = run.plan.tasks.get(task_id)
    if task is None:
        return None
    record = run.record(task_id)
    chunks = chunks_in(task.box, run.params.chunk_size, look) if task.stage in NAMING and task.tier == 0 else 0
    return {
        "id": task.id,
        "label": task.label,
        "stage": task.stage,
        "tier": task.tier,
        "layer": task.layer,
        "box": [list(task.box.minimum), list(task.box.maximum)],
        "chunks": chunks,
        "planned": {"seconds": task.seconds, "memory": task.memory_bytes},
        "reads": len(run.reads(task)),
        "state": "done" if record else "working" if task_id in look.working else "waiting",
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
