"""Commands that look before a run or clean up after many: `plan` and `gc`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seuron.cli.runs import (
    Affinities,
    GroundTruth,
    Image,
    Output,
    ParameterFile,
    Sets,
    Settings,
    read_parameters,
)

if TYPE_CHECKING:
    from seuron.changes import Changes
    from seuron.compute.money import Estimate
    from seuron.runs import Run


def plan(
    settings: Settings = None,
    set_: Sets = None,
    params: ParameterFile = None,
    image: Image = None,
    affinities: Affinities = None,
    output: Output = None,
    ground_truth: GroundTruth = None,
    diff: Annotated[bool, typer.Option("--diff", help="what of it is done already, what would run, and why")] = False,
    cluster: Annotated[str | None, typer.Option(help="a cluster's file: queues, hours and dollars on it")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Show the stages and tasks of a run with their estimates; nothing is written.

    Parameters are given as to `run segmentation`.
    """
    from seuron.changes import changes_of
    from seuron.errors import ParameterErrors
    from seuron.preflight import check_run
    from seuron.preparation import plan_run

    options = {"image": image, "affinities": affinities, "output": output, "ground_truth": ground_truth}
    parsed = read_parameters(params, [*(set_ or []), *(settings or [])], options)
    facts, problems = check_run(parsed)
    if problems or facts is None:
        raise ParameterErrors(problems)
    run = plan_run(parsed, facts)
    changes = changes_of(run) if diff else None
    expected = _on_cluster(run, cluster) if cluster else None
    if as_json:
        data = _as_data(run, changes) | ({"cluster": asdict(expected)} if expected else {})
        typer.echo(json.dumps(data, indent=1))
    else:
        _show(run, changes)
        if expected:
            typer.echo(_in_words(expected))


@dataclass(frozen=True)
class OnCluster:
    """What a run would take on a cluster: the queue of each stage and tier, and money and time as a range."""

    name: str
    queues: dict[str, str]
    estimate: Estimate


def _on_cluster(run: Run, file: str) -> OnCluster:
    """Raises QueueErrors where the cluster cannot take a task at all."""
    from seuron.compute.cluster_file import read_cluster
    from seuron.compute.money import estimate, tier_works
    from seuron.planning.queues import MANAGER, QueueOffer, assign

    cluster = read_cluster(file)
    queues = assign(run.plan, [QueueOffer(MANAGER, 0), *cluster.offers])
    tiers = [tier for tier in tier_works(run.plan, queues) if tier.queue != MANAGER]
    names = {f"{stage}.tier_{tier}": queue for (stage, tier), queue in queues.items()}
    return OnCluster(cluster.name, names, estimate(tiers, cluster.groups, cluster.policy))


def _in_words(found: OnCluster) -> str:
    from seuron.reporting.quantities import duration

    dollars, hours = found.estimate.dollars, found.estimate.hours
    low, likely, high = (duration(value * 3600) for value in (hours.low, hours.likely, hours.high))
    return (
        f"on the cluster {found.name}, without its manager: probably ${dollars.likely:.2f} "
        f"(${dollars.low:.2f} to ${dollars.high:.2f}) and {likely} ({low} to {high}); "
        f"queues: {', '.join(sorted(set(found.queues.values())))}"
    )


def _estimates(run: Run) -> list[dict[str, Any]]:
    """For each stage that has tasks: how many, in how many tiers, seconds of one core, bytes of the largest task."""
    return [
        {
            "stage": stage.name,
            "tiers": len(stage.tiers),
            "tasks": len(stage.tasks),
            "core_seconds": round(sum(task.seconds for task in stage.tasks), 3),
            "memory_bytes": max(task.memory_bytes for task in stage.tasks),
        }
        for stage in run.plan.stages
        if stage.tasks
    ]


def _as_data(run: Run, changes: Changes | None) -> dict[str, Any]:
    data: dict[str, Any] = {"output": run.output, "box": run.facts.box.corners, "stages": _estimates(run)}
    if changes is not None:
        counts = {stage.name: asdict(stage) for stage in changes.stages}
        for row in data["stages"]:
            row |= {kind: counts[row["stage"]][kind] for kind in _KINDS}
        data["reasons"] = [{"reason": reason, "tasks": dict(tasks)} for reason, tasks in changes.reasons.items()]
    return data


#: What becomes of a task, with the heading of its column.
_KINDS = {"finished": "finished", "reused": "from the store", "run": "run", "looked_at": "looked at"}


def _show(run: Run, changes: Changes | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from seuron.reporting.quantities import count, duration, file_size

    console = Console()
    if not console.is_terminal:  # a file or a pipe has no width, and rich would cut columns at 80
        console.width = 120
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("stage", "tiers", "tasks", "core time", "memory", *(_KINDS.values() if changes else ())):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for row in _as_data(run, changes)["stages"]:
        cells = [
            count(row["tiers"]),
            count(row["tasks"]),
            duration(row["core_seconds"]),
            file_size(row["memory_bytes"]),
        ]
        table.add_row(row["stage"], *cells, *(count(row[kind]) for kind in _KINDS if changes))
    console.print(f"{run.output}: {run.facts.box}", soft_wrap=True, highlight=False)
    console.print(table)
    for reason, tasks in (changes.reasons if changes else {}).items():
        where = ", ".join(f"{number} {stage}" for stage, number in tasks.items())
        console.print(f"- {reason} ({where})", soft_wrap=True, highlight=False, markup=False)


def gc(
    store: Annotated[str, typer.Argument(help="a store, or the output of a run that uses it", metavar="STORE")],
    delete: Annotated[bool, typer.Option("--delete", help="remove it; otherwise it is only counted")] = False,
) -> None:
    """Find the tables in a store that no run refers to, and what killed writers left.

    A run refers to all that its tasks have made or may still find unchanged. A run whose folder is gone
    refers to nothing; one that was moved does so again once it has been started from its new place.
    """
    from seuron.cli.words import absolute
    from seuron.collecting import collect, find_garbage
    from seuron.reporting.quantities import count, file_size
    from seuron.runs import Run
    from seuron.storage import Storage, cloud_path
    from seuron.store import Store

    path = cloud_path(absolute(store))
    found = Run.open(path).store if Storage(path).get("run.json") is not None else Store(path)
    garbage = collect(found) if delete else find_garbage(found)
    done = "removed" if delete else "to be removed with --delete"
    typer.echo(f"{found.path}: {count(garbage.kept_objects)} objects in use")
    typer.echo(f"{count(len(garbage.objects))} unused objects, {file_size(garbage.stored_bytes)}: {done}")
    if garbage.partial_files:
        typer.echo(f"{count(garbage.partial_files)} leftover files, {file_size(garbage.partial_bytes)}: {done}")
    for output in garbage.gone:
        typer.echo(f"no run is in {output} any more")
