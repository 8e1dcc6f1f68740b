"""Stage `report`: the page that tells what the run did."""

from __future__ import annotations

from seuron.engine.plan import Task
from seuron.engine.run import Counts, Run
from seuron.reporting import write_report


def inputs(run: Run, task: Task) -> dict[str, str]:
    """Everything: the page tells of all tasks."""
    return {"page": run.keys[task.id]}


def run(run: Run, task: Task) -> Counts:
    """Write report.html from the records, tables and layers of the run."""
    write_report(run)
    return {"records": len(run.records())}
