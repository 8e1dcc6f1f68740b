"""Commands for the embedded deployment: `up`, `down`, `status`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from seuron.compute.records import Event, Look

#: Steps of the cluster that `status` tells of.
_EVENTS_SHOWN = 5


def up(
    celery: Annotated[
        bool | None,
        typer.Option("--celery/--no-celery", help="tasks go to workers by queue; without either, as it was"),
    ] = None,
    cluster: Annotated[
        Path | None, typer.Option(help="a cluster's file: workers come from its groups, as many as the work needs")
    ] = None,
) -> None:
    """Start Airflow and its database on this machine, or reuse what runs.

    With --celery a Redis and a worker for the queue `manager` run as well; start others with `seuron worker`.
    With --cluster these others are made when there is work and removed when there is none; --celery or --no-celery
    alone ends that.
    """
    from seuron.deployment import Deployment
    from seuron.errors import ParameterErrors

    if cluster is not None and celery is False:
        raise ParameterErrors(["--cluster needs Celery's workers; leave out --no-celery"], "the command")
    began = time.monotonic()
    status = Deployment().start(celery=celery, cluster=cluster)
    typer.echo(f"Airflow is at {status.url} ({time.monotonic() - began:.1f} s); its state is in {status.folder}")


def down() -> None:
    """Stop everything that `up`, `run`, `demo` and `view` started; runs resume after the next start."""
    from seuron.deployment import Deployment

    deployment = Deployment()
    stopped = deployment.stop()
    if deployment.home.viewer.is_dir():
        from seuron.viewer import stop_server

        stopped = stop_server(deployment.home.viewer) or stopped
    typer.echo(f"stopped {deployment.home.folder}" if stopped else f"nothing runs in {deployment.home.folder}")


def status(json: Annotated[bool, typer.Option("--json", help="for scripts")] = False) -> None:
    """Say what runs, where, what memory it takes, and what its cluster does; the exit code is 1 when nothing runs."""
    from dataclasses import asdict
    from json import dumps

    from seuron.compute.records import Records
    from seuron.deployment import Deployment
    from seuron.deployment.cluster import records_folder

    deployment = Deployment()
    found, records = deployment.status(), Records(records_folder(deployment.home))
    look = records.look()
    if json:
        more = {"cluster": asdict(look)} if look else {}
        typer.echo(dumps({**asdict(found), "folder": str(found.folder)} | more))
    elif found.running:
        typer.echo(f"{'healthy' if found.healthy else 'not healthy'}: {found.url}, state in {found.folder}")
        typer.echo(f"memory: {found.memory_bytes / 1e6:.0f} MB")
        for name, count in found.services.items():
            typer.echo(f"  {name}: {count} process{'es' if count != 1 else ''}")
        if look:
            _show_cluster(look, records.events()[-_EVENTS_SHOWN:])
    else:
        typer.echo(f"nothing runs in {found.folder}; `seuron up` starts it")
    if not found.running:
        raise typer.Exit(1)


def _show_cluster(look: Look, events: Sequence[Event]) -> None:
    """Groups, queues, money, and what was done lately and why."""
    from seuron.compute.run_costs import latest, lines_of

    seconds = time.time() - look.time
    typer.echo(f"cluster, {seconds:.0f} s ago: {latest(look)}")
    for found in look.groups:
        group, states = found.group, Counter(instance.state for instance in found.instances)
        there = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "empty"
        kind = "spot" if group.spot else "on demand"
        typer.echo(
            f"  {group.name} ({kind}, queue {group.queue}): {there}; asked for {found.target} of {group.max_size}"
        )
    for queue, depth in look.queues.items():
        typer.echo(f"  queue {queue}: {depth.ready} tasks ready, {depth.running} at work")
    for event in events:
        at = time.strftime("%H:%M:%S", time.localtime(event.time))
        for line in lines_of(event):
            typer.echo(f"  {at} {line}")
