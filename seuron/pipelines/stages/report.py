"""Stage `report`: the page that says what a run did. Every pipeline may end with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from seuron.engine.pipeline import Counts, Facts, Inputs, Stage
from seuron.engine.plan import Estimate, Task, Tier
from seuron.engine.run import Run
from seuron.params.run_parameters import WITHOUT_INFLUENCE, RunParameters

#: A report reads a coarse scale and the records, whatever the volume: seconds and bytes.
NEEDS = Estimate(10.0, 550_000_000)


def report_stage() -> Stage:
    """The stage, to be the last of a pipeline."""
    return Stage(
        name="report",
        module=__name__,
        version=3,
        work=("manager",),
        plan=_plan,
        reads=_everything,
        settings=_settings,
        files=("report.html",),
    )


def _plan(params: RunParameters, facts: Facts) -> Sequence[Tier]:
    return (Tier.of_whole(facts.box, NEEDS),)


def _everything(run: Run, task: Task) -> Iterator[Tier]:
    yield from (tier for tier in run.plan.tiers() if tier.stage != task.stage)


def _settings(run: Run, task: Task) -> dict[str, Any]:
    settings: dict[str, Any] = run.params.model_dump(mode="json", exclude=set(WITHOUT_INFLUENCE))
    return settings


def inputs(run: Run, task: Task) -> Inputs:
    """Everything: the page shows all tasks."""
    return {"page": run.keys.of(task)}


def run(run: Run, task: Task) -> Counts:
    """Write report.html from the records, tables and layers of the run."""
    from seuron.reporting.report import write_report

    write_report(run)
    return {"records": len(run.records())}
