"""Submitting a run and following it to its end, with Airflow or without."""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from seuron.cli.progress import StageProgress
from seuron.compute.machine import Machine
from seuron.deployment import Deployment
from seuron.errors import RunError
from seuron.params import parse_parameters
from seuron.runs import Run

if TYPE_CHECKING:
    from seuron.client import AirflowClient, Overhead
    from seuron.params import SegmentationParams

DAG_ID = "segmentation"
#: Seconds between looks at a run's tasks; its state is asked for more often.
_TASK_LOOK = 2.0


@dataclass(frozen=True)
class FinishedRun:
    """A run that succeeded, the page where Airflow shows it, and what Airflow itself took of it."""

    run: Run
    page: str
    overhead: Overhead

    @property
    def report(self) -> str:
        return _report(self.run)

    def summary(self) -> str:
        """How long it took, and how much of that was Airflow's."""
        taken, cores = self.overhead, Machine.this().cores
        if not taken.tasks:
            return "everything was finished already"
        return (
            f"{taken.wall_seconds:.0f} s for {taken.tasks} tasks with {taken.work_seconds:.0f} s of work; "
            f"Airflow's own share {taken.share(cores):.0%} of the time on {cores} cores, "
            f"{taken.seconds_per_task:.2f} s a task"
        )


def run_in_airflow(parameters: SegmentationParams) -> FinishedRun:
    """Run in the embedded deployment, starting it if need be; raises RunError when the run fails."""
    from seuron.client import AirflowClient

    console = Console(stderr=True)
    with console.status("starting Airflow"):
        url = Deployment().start().url
    assert url is not None  # a started deployment has an address
    with AirflowClient(url) as client:
        run_id = _submit(client, parameters, console)
        page = client.run_url(DAG_ID, run_id)
        try:
            state = _follow(client, run_id, parameters, console)
        except KeyboardInterrupt:
            typer.echo(
                f"\nThe run goes on: {page}\nFollow it again with the same command: {_command()}\n"
                "`seuron down` stops everything; the same command then resumes it.",
                err=True,
            )
            raise
        if state != "success":
            raise RunError(_failure(client, run_id, page))
        run = Run.open(parameters.output)
        work = {run.plan.tasks[record.task_id].label: record.seconds for record in run.records()}
        return FinishedRun(run, page, client.overhead(DAG_ID, run_id, work))


def run_locally(parameters: SegmentationParams, workers: int) -> None:
    """Run the same plan without Airflow."""
    from seuron.local import run_local

    console = Console(stderr=True)
    try:
        with StageProgress(parameters.output, console) as shown:
            run = run_local(parameters, workers=workers, progress=lambda *_: shown.refresh())
    except KeyboardInterrupt:
        typer.echo(f"\nStopped. The same command resumes the run: {_command()}", err=True)
        raise
    console.print(f"report: {_report(run)}", soft_wrap=True)


def _submit(client: AirflowClient, parameters: SegmentationParams, console: Console) -> str:
    """The id of a new run, or of the one that is already at work on the same output."""
    active = client.active_run(DAG_ID, parameters.output)
    if active is not None:
        if parse_parameters(type(parameters), client.run_parameters(DAG_ID, active)) != parameters:
            raise RunError(
                f"a run with other parameters is at work in {parameters.output}: {client.run_url(DAG_ID, active)}. "
                "Wait for its end or cancel it there, then give the command again"
            )
        console.print("a run into this output is going on; following it")
        return active
    return client.trigger(DAG_ID, json.loads(parameters.model_dump_json()))


def _follow(client: AirflowClient, run_id: str, parameters: SegmentationParams, console: Console) -> str:
    console.print(f"following {client.run_url(DAG_ID, run_id)}", soft_wrap=True)
    looked, note = 0.0, ""
    with StageProgress(parameters.output, console) as progress:

        def look(state: str) -> None:
            nonlocal looked, note
            if time.monotonic() - looked > _TASK_LOOK:
                note, looked = _note(client, run_id), time.monotonic()
            progress.refresh(note)

        return client.wait(DAG_ID, run_id, on_poll=look)


def _note(client: AirflowClient, run_id: str) -> str:
    """What is at work or waits for another try, in a few words."""
    instances = client.task_instances(DAG_ID, run_id, states=["running", "up_for_retry"])
    running = sum(instance.state == "running" for instance in instances)
    retrying = len(instances) - running
    return f"{running} running" + (f", {retrying} wait for another try" if retrying else "")


def _failure(client: AirflowClient, run_id: str, page: str) -> str:
    errors = client.task_errors(DAG_ID, run_id, limit=5)
    causes = "\n".join(str(error) for error in errors) or "no task says why"
    return f"the run failed: {page}\n{causes}\nMend the cause and give the same command: it resumes the run."


def _report(run: Run) -> str:
    return f"{run.output}/report.html"


def _command() -> str:
    return shlex.join(["seuron", *sys.argv[1:]])
