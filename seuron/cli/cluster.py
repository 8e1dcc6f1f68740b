"""Commands that make and remove machines: `cluster create`, `delete`; the registry has the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seuron.cli.output import echo

if TYPE_CHECKING:
    from seuron.cluster.config import Cluster
    from seuron.cluster.resource_plan import Change

#: Exit code of `create --check` when there is something to do.
CHANGES = 3

File = Annotated[
    str, typer.Argument(help="the cluster's file; docs/cluster.example.toml is one", envvar="SEURON_CLUSTER")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="do not ask")]
Json = Annotated[bool, typer.Option("--json", help="for scripts; needs --yes where something would be asked")]


def create(
    file: File = "cluster.toml",
    check: Annotated[bool, typer.Option(help="only show what would change; the exit code is 3 if anything")] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Make what a file describes, or change what is there to that. Shows first what it would do.

    What is as it should be is left alone, so a create that was cut off is just started again.
    """
    from seuron.cluster.drivers import resources_of

    cluster = _cluster(file)
    done = False
    with resources_of(cluster) as resources:
        changes = resources.plan(cluster)
        todo = [change for change in changes if change.action != "keep"]
        if not json:
            _show_plan(cluster, changes)
        if todo and not check and _agreed(f"Make these {len(todo)} changes?", yes, json):
            resources.apply(changes, _progress)
            done = True
    if json:
        _print_json({"cluster": cluster.name, "changes": _rows(changes), "done": done})
    elif done:
        echo(f"{cluster.name} is as {file} says")
    if todo and check:
        raise typer.Exit(CHANGES)


def delete(file: File = "cluster.toml", yes: Yes = False, json: Json = False) -> None:
    """Remove all that was made, the disk of the manager's data too, and see that nothing is left."""
    from seuron.cluster.drivers import resources_of

    cluster = _cluster(file)
    done = False
    with resources_of(cluster) as resources:
        changes = resources.plan_removal()
        if not json:
            _show_changes(changes)
        if changes and _agreed(f"Remove these {len(changes)}? What the disk holds is lost.", yes, json):
            resources.remove(_progress)
            done = True
    if json:
        _print_json({"cluster": cluster.name, "changes": _rows(changes), "done": done})
    elif done:
        echo(f"nothing of {cluster.name} is left")
    elif not changes:
        echo(f"there is nothing of {cluster.name}")


def _cluster(file: str) -> Cluster:
    from seuron.cluster.config import read_cluster

    return read_cluster(file)


def _agreed(question: str, yes: bool, json: bool) -> bool:
    """Whether to go on; ends the command with exit code 1 when the answer is no."""
    if yes:
        return True
    if json:
        return False
    return typer.confirm(question, abort=True)


def _progress(line: str) -> None:
    echo(line, err=True)


def _print_json(content: dict[str, Any]) -> None:
    from json import dumps

    echo(dumps(content))


def _rows(changes: Sequence[Change]) -> list[dict[str, str]]:
    return [
        {key: getattr(change, key) for key in ("action", "kind", "name", "location", "reason")} for change in changes
    ]


def _show_plan(cluster: Cluster, changes: Sequence[Change]) -> None:
    from seuron.cluster.costs.prices import WRITTEN

    _show_changes(changes)
    kept = sum(change.action == "keep" for change in changes)
    echo(f"{len(changes) - kept} to do, {kept} to keep")
    if cluster.provider == "google":
        echo(
            f"at rest ${cluster.manager_price():.2f} an hour (the manager), at most ${cluster.highest_price():.2f} "
            f"with every group full; list prices of {WRITTEN} where the file gives none"
        )


def _show_changes(changes: Sequence[Change]) -> None:
    from seuron.commands.formatting import columns

    rows = [(change.action, change.kind, change.name, change.location or "-", change.reason) for change in changes]
    if rows:
        echo(columns(("", "kind", "name", "where", "why"), rows))
