"""The command line's root: its groups put together."""

from __future__ import annotations

import typer

from seuron.cli import cluster, data, decisions, demonstration, deployment, plans, runs, training, worker

app = typer.Typer(
    name="seuron",
    help="Electron-microscope volumes become segmented neurons.",
    no_args_is_help=True,
    add_completion=False,
    # seuron's own errors are messages for users; anything else is a bug and wants the whole trace.
    pretty_exceptions_enable=False,
)
run = typer.Typer(help="Run a pipeline and wait for its end.", no_args_is_help=True)
run.command("segmentation")(runs.segmentation)
app.add_typer(run, name="run")
machines = typer.Typer(help="Machines in instance groups: make, look at, resize, remove.", no_args_is_help=True)
machines.command("create")(cluster.create)
machines.command("status")(cluster.status)
machines.command("scale")(cluster.scale)
machines.command("delete")(cluster.delete)
app.add_typer(machines, name="cluster")
app.command("demo")(demonstration.demo)
app.command("params")(runs.params)
app.command("plan")(plans.plan)
app.command("gc")(plans.gc)
app.command("up")(deployment.up)
app.command("down")(deployment.down)
app.command("status")(deployment.status)
app.command("worker")(worker.worker)
app.command("workers")(worker.workers)
app.command("drain")(worker.drain)
app.command("resume")(worker.resume)
app.command("synth")(data.synth)
app.command("import")(data.import_)
app.command("evaluate")(data.evaluate)
app.command("sweep")(decisions.sweep)
app.command("explain")(decisions.explain)
app.command("view")(data.view)
app.command("train")(training.train)
