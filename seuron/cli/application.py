"""The command line's root: the registry's commands, and those that are about this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from seuron.cli import chat, cluster, data, demonstration, deployment, training, worker
from seuron.cli.registered import shell_command
from seuron.commands.registry import command_named, commands

app = typer.Typer(
    name="seuron",
    help="Electron-microscope volumes become segmented neurons.",
    no_args_is_help=True,
    # seuron's own errors are messages for users; anything else is a bug and wants the whole trace.
    pretty_exceptions_enable=False,
)


@app.callback()
def root(
    context: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(help="Airflow's address, of another deployment than this machine's", envvar="SEURON_URL"),
    ] = None,
) -> None:
    """Electron-microscope volumes become segmented neurons.

    With --url the commands for runs are for another deployment; its token is $SEURON_TOKEN.
    """
    context.obj = {"url": url}


#: What stands at the head of a group of commands with two words.
_GROUPS = {
    "run": "Run a pipeline and wait for its end.",
    "params": "Parameters: show, explain, check, compare, keep. Alone: all of them explained.",
    "datasets": "Volumes that are segmented again when they change, and their published versions.",
    "cluster": "Machines in instance groups: make, look at, resize, remove.",
}
_MACHINES, _DATA, _HERE, _TALK = "Machines", "Data", "This machine", "Talking"
_groups: dict[str, typer.Typer] = {}


def _group(name: str) -> typer.Typer:
    if name not in _groups:
        made = typer.Typer(help=_GROUPS[name], no_args_is_help=name != "params")
        _groups[name] = made
        panel = {"params": "Parameters", "cluster": _MACHINES, "datasets": "Datasets"}.get(name, "Runs")
        app.add_typer(made, name=name, rich_help_panel=panel)
    return _groups[name]


for _made in commands():
    _first, _, _second = _made.name.partition(" ")
    if _second:
        _group(_first).command(_second)(shell_command(_made))
    else:
        app.command(_first, rich_help_panel=_made.group)(shell_command(_made))


@_group("params").callback(invoke_without_command=True)
def _params(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        shell_command(command_named("params explain"))(context, name="", pipeline="segmentation", as_json=False)


_group("cluster").command("create")(cluster.create)
_group("cluster").command("delete")(cluster.delete)
for _name, _function, _panel in (
    ("up", deployment.up, _HERE),
    ("down", deployment.down, _HERE),
    ("demo", demonstration.demo, _HERE),
    ("worker", worker.worker, _MACHINES),
    ("workers", worker.workers, _MACHINES),
    ("drain", worker.drain, _MACHINES),
    ("resume", worker.resume, _MACHINES),
    ("synth", data.synth, _DATA),
    ("import", data.import_, _DATA),
    ("train", training.train, _DATA),
    ("chat", chat.chat, _TALK),
    ("bot", chat.bot, _TALK),
):
    app.command(_name, rich_help_panel=_panel)(_function)
