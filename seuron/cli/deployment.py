"""Commands for the embedded deployment: `up`, `down`, `status`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seuron.compute.money import Ledger
    from seuron.compute.records import Look


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
    """Say what runs, where, and what memory it takes; the exit code is 1 when nothing runs.

    With a cluster also its groups, what was spent, and whether anything is held back.
    """
    from dataclasses import asdict
    from json import dumps

    from seuron.compute.records import Records
    from seuron.deployment import Deployment
    from seuron.deployment.cluster import records_folder

    deployment = Deployment()
    found = deployment.status()
    records = Records(records_folder(deployment.home))
    look = records.look() if deployment.cluster_file else None
    if json:
        cluster = asdict(look) | {"runs": dict(records.ledger().runs)} if look else None
        typer.echo(dumps({**asdict(found), "folder": str(found.folder), "cluster": cluster}))
    elif found.running:
        typer.echo(f"{'healthy' if found.healthy else 'not healthy'}: {found.url}, state in {found.folder}")
        typer.echo(f"memory: {found.memory_bytes / 1e6:.0f} MB")
        for name, count in found.services.items():
            typer.echo(f"  {name}: {count} process{'es' if count != 1 else ''}")
        if deployment.cluster_file:
            for line in _cluster_lines(deployment.cluster_file, look, records.ledger()):
                typer.echo(line)
    else:
        typer.echo(f"nothing runs in {found.folder}; `seuron up` starts it")
    if not found.running:
        raise typer.Exit(1)


def _cluster_lines(file: str, look: Look | None, ledger: Ledger) -> Iterator[str]:
    """What the last step of the cluster saw, and what there is to do about it."""
    if look is None:
        yield f"cluster {file}: no step has looked at it yet"
        return
    budget = f" of a budget of ${look.budget:.2f}" if look.budget is not None else ""
    yield f"cluster {file}, seen {time.time() - look.time:.0f} s ago: ${look.spent:.2f} spent{budget}"
    for group in look.groups:
        yield f"  {group.group.name} ({group.group.queue}): {len(group.live)} of {group.group.max_size} instances"
    for queue, depth in look.queues.items():
        yield f"  queue {queue}: {depth.ready} tasks wait, {depth.running} run"
    for run, dollars in ledger.runs.items():
        yield f"  run {run}: ${dollars:.2f}"
    if look.held:
        yield (
            f"  the budget is used up: what waits in {', '.join(look.held)} waits on, and nothing is lost; "
            f"to go on, raise `budget_dollars` in {file}, or cancel the run"
        )
    for problem in look.problems:
        yield f"  {problem}"
