"""The forecast of a run: what it would take, and what of it is done already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from seuron.commands.answers import Answer, Session
from seuron.commands.formatting import table
from seuron.commands.registry import Argument, Values, command
from seuron.commands.run_parameters import parsed_values
from seuron.engine.registry import pipeline_named

if TYPE_CHECKING:
    from seuron.cluster.costs.estimates import CostEstimate
    from seuron.engine.diff import Changes
    from seuron.engine.forecast import Calibration, Forecast
    from seuron.engine.run import Run

#: What becomes of a task, with the heading of its column.
KINDS = {"finished": "finished", "reused": "from the store", "run": "run", "checked": "checked"}


@command("plan", aliases=("dry run", "estimate"), permission="run", group="Runs")
def plan(
    session: Session,
    values: Values,
    *,
    diff: Annotated[bool, Argument("what of it is done already, what would run, and why")] = False,
    cluster: Annotated[
        Path | None, Argument("a cluster's file: queues, hours and dollars on it", local_only=True)
    ] = None,
    pipeline: Annotated[str, Argument("what would be run")] = "segmentation",
) -> Answer:
    """Say what a run would take: tasks, core time, memory, bytes and, with a cluster, money. Nothing is written.

    Parameters are given as to `run`. Seconds and bytes are fitted to the last runs of the deployment that are
    complete. `report` then says what a run took beside it.
    """
    from seuron.engine.diff import changes_of
    from seuron.engine.forecast import forecast
    from seuron.engine.setup import plan_run

    found = pipeline_named(pipeline)
    run = plan_run(parsed_values(session, found, values))
    known = session.deployment.calibration()
    expected = forecast(run, known)
    changes = changes_of(run) if diff else None
    costs = _on_cluster(run, known, _cluster_file(session, cluster))
    lines = [f"{run.output}: {run.facts.box}", _table(expected, changes), _totals(expected)]
    lines += [_in_words(costs)] if costs is not None else []
    lines += found.notes(run.params)
    for reason, tasks in (changes.reasons if changes else {}).items():
        lines.append(f"- {reason} ({', '.join(f'{number} {stage}' for stage, number in tasks.items())})")
    return Answer("\n".join(lines), _as_data(expected, changes, costs))


@dataclass(frozen=True)
class OnCluster:
    """What a run would take on a cluster: the queue of each stage and tier, and money and time as a range."""

    name: str
    queues: dict[str, str]
    estimate: CostEstimate


def _cluster_file(session: Session, given: Path | None) -> str:
    """The cluster's file: the one given, else that of this machine's deployment; empty where there is none."""
    if given is not None:
        return str(given)
    return session.deployment.embedded.cluster_file if session.deployment.is_local else ""


def _on_cluster(run: Run, known: Calibration, file: str) -> OnCluster | None:
    """Raises QueueErrors where the cluster cannot take a task at all."""
    from dataclasses import replace

    from seuron.cluster.config import read_cluster
    from seuron.cluster.costs.estimates import estimate, tier_works
    from seuron.engine.queues import MANAGER, QueueCapacity, assign

    if not file:
        return None
    cluster = read_cluster(file)
    queues = assign(run.plan, [QueueCapacity(MANAGER, 0), *cluster.capacities])
    stages = [tier.stage for tier in run.plan.tiers()]
    works = [
        replace(work, seconds=work.seconds * ratio, longest=work.longest * ratio)
        for work, ratio in zip(tier_works(run.plan, queues), (known.ratios.get(s, 1.0) for s in stages), strict=True)
        if work.queue != MANAGER
    ]
    names = {f"{stage}.tier_{tier}": queue for (stage, tier), queue in queues.items()}
    return OnCluster(cluster.name, names, estimate(works, cluster.groups, cluster.policy))


def _in_words(found: OnCluster) -> str:
    from seuron.reporting.quantities import duration

    dollars, hours = found.estimate.dollars, found.estimate.hours
    low, likely, high = (duration(value * 3600) for value in (hours.low, hours.likely, hours.high))
    return (
        f"on the cluster {found.name}, without its manager: probably ${dollars.likely:.2f} "
        f"(${dollars.low:.2f} to ${dollars.high:.2f}) and {likely} ({low} to {high}); "
        f"queues: {', '.join(sorted(set(found.queues.values())))}"
    )


def _totals(expected: Forecast) -> str:
    from seuron.reporting.quantities import count, duration, file_size

    fitted = (
        f"fitted to the last {expected.measured_on} complete runs"
        if expected.measured_on
        else "by rates that were measured once: no earlier run is complete"
    )
    most = "" if expected.measured_on else "at most "
    return (
        f"in all {count(expected.tasks)} tasks, {duration(expected.core_hours * 3600)} of core time, "
        f"{file_size(expected.peak_memory_bytes)} for the largest task, {most}{file_size(expected.stored_bytes)} "
        f"on disk ({fitted})"
    )


def _table(expected: Forecast, changes: Changes | None) -> str:
    from seuron.reporting.quantities import count, duration, file_size

    kinds = _kinds(changes)
    rows = [
        (
            stage.stage,
            count(stage.tiers),
            count(stage.tasks),
            duration(stage.core_seconds),
            file_size(stage.memory_bytes),
            *(count(number) for number in kinds.get(stage.stage, {}).values()),
        )
        for stage in expected.stages
    ]
    head = ("stage", "tiers", "tasks", "core time", "memory", *(KINDS.values() if changes else ()))
    return table(head, rows, right=range(1, len(head)))


def _kinds(changes: Changes | None) -> Mapping[str, dict[str, int]]:
    """For each stage how many tasks of each kind there are."""
    if changes is None:
        return {}
    counts = {stage.name: asdict(stage) for stage in changes.stages}
    return {name: {kind: row[kind] for kind in KINDS} for name, row in counts.items()}


def _as_data(expected: Forecast, changes: Changes | None, costs: OnCluster | None) -> dict[str, Any]:
    kinds = _kinds(changes)
    shown = ("stage", "tiers", "tasks", "core_seconds", "memory_bytes")
    data: dict[str, Any] = {
        "output": expected.output,
        "box": list(expected.box),
        "stages": [
            {name: getattr(stage, name) for name in shown} | kinds.get(stage.stage, {}) for stage in expected.stages
        ],
        "tasks": expected.tasks,
        "core_hours": expected.core_hours,
        "peak_memory_bytes": expected.peak_memory_bytes,
        "stored_bytes": expected.stored_bytes,
        "measured_on": expected.measured_on,
    }
    if changes is not None:
        data["reasons"] = [{"reason": reason, "tasks": dict(tasks)} for reason, tasks in changes.reasons.items()]
    return data if costs is None else data | {"cluster": asdict(costs)}
