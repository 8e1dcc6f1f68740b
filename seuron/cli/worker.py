"""Commands for workers: `worker`, `workers`, `drain`, `resume`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from seuron.cli.output import echo

if TYPE_CHECKING:
    from seuron.cluster.groups import WorkerReport

Name = Annotated[str, typer.Argument(help="a worker, as `seuron workers` lists it", metavar="NAME")]


def worker(
    queue: Annotated[str, typer.Option(help="queues to serve, with commas between", metavar="Q[,Q2]")],
    slots: Annotated[int, typer.Option(min=1, help="tasks at a time")] = 1,
    name: Annotated[str | None, typer.Option(help="unique in the deployment; by default the machine's")] = None,
    memory: Annotated[float | None, typer.Option(min=0.1, help="GiB that each slot may take; default: a share")] = None,
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs of each slot; default: the machine's, shared")] = None,
    grace: Annotated[float, typer.Option(min=0, help="seconds that tasks get when it has to end")] = 25.0,
    patience: Annotated[float, typer.Option(min=0, help="minutes without a broker until it ends by itself")] = 30.0,
) -> None:
    """Take tasks from queues until SIGTERM, and report to the broker.

    On a machine with a deployment (`seuron up --celery`) it joins that; elsewhere Airflow's settings are
    those of the environment. Exit codes: Celery's; 3 when the broker was away for too long, 4 when Celery
    stopped to answer.
    """
    from socket import gethostname

    from seuron.deployment.worker import Worker
    from seuron.deployment.worker_setup import worker_environment, worker_settings

    called = name or gethostname()
    environment = worker_environment(called)
    queues = tuple(part.strip() for part in queue.split(",") if part.strip())
    settings = worker_settings(called, queues, slots, environment, memory_gib=memory, gpus=gpus)
    raise typer.Exit(Worker(settings.patient(grace, patience * 60), environment).run())


def workers(
    name: Annotated[str | None, typer.Option(help="only this one; the exit code is 1 when it does not report")] = None,
    json: Annotated[bool, typer.Option("--json", help="for scripts")] = False,
) -> None:
    """List the workers that report."""
    from dataclasses import asdict
    from json import dumps

    from seuron.cluster.workers import BrokerWorkers

    seen = BrokerWorkers(_broker())
    found = [report for report in seen.reports() if name in (None, report.instance)]
    for problem in seen.damaged():
        echo(problem, err=True)
    if json:
        echo(dumps([asdict(report) for report in found]))
    else:
        _show(found)
    if name is not None and not found:
        raise typer.Exit(1)


def _show(found: Sequence[WorkerReport]) -> None:
    for report in found:
        takes = "takes tasks" if report.accepting else "takes no more"
        shares = f"memory {report.memory:.0%}, disk {report.disk:.0%}"
        echo(f"{report.instance}: {report.running} tasks, the oldest for {report.oldest:.0f} s; {takes}; {shares}")
    if not found:
        echo("no worker reports; start one with `seuron worker --queue cpu --slots 2`")


def drain(name: Name) -> None:
    """Have a worker finish its tasks and take no more."""
    from seuron.cluster.workers import BrokerWorkers

    BrokerWorkers(_broker()).drain(name)


def resume(name: Name) -> None:
    """Let a drained worker take tasks again."""
    from seuron.cluster.workers import BrokerWorkers

    BrokerWorkers(_broker()).resume(name)


def _broker() -> str:
    from seuron.deployment.environment import broker_url
    from seuron.deployment.worker_setup import worker_environment

    return broker_url(worker_environment("look"))
