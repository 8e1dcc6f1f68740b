"""Commands for the embedded deployment: `up`, `down`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from seuron.cli.output import echo


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
    deployment = Deployment()
    status = deployment.start(celery=celery, cluster=cluster, on_step=lambda step: echo(step, err=True))
    echo(f"Airflow is at {status.url} ({time.monotonic() - began:.1f} s); its state is in {status.folder}")
    echo(f"log in a browser with {deployment.login_url}")


def down() -> None:
    """Stop everything that `up`, `run`, `demo` and `view` started; runs resume after the next start."""
    from seuron.deployment import Deployment

    deployment = Deployment()
    stopped = deployment.stop()
    if deployment.home.viewer.is_dir():
        from seuron.web.viewer import stop_server

        stopped = stop_server(deployment.home.viewer) or stopped
    echo(f"stopped {deployment.home.folder}" if stopped else f"nothing runs in {deployment.home.folder}")
