"""The command line's root: the registry's commands, and those that are about this machine."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated

import typer

from seuron.cli import chat, chunk, cluster, data, demo, deployment, products, shapes, train, volumes, worker
from seuron.cli.deferred import DeferredCommand, group_of
from seuron.cli.shell_commands import shell_command
from seuron.commands.registry import Command, command_named, commands

#: What stands at the head of a group of commands with two words, and its panel in help.
_GROUPS = {
    "run": ("Runs", "Run a pipeline and wait for its end."),
    "params": ("Parameters", "Parameters: show, explain, check, compare, keep. Alone: all of them explained."),
    "datasets": ("Datasets", "Volumes that are segmented again when they change, and their published versions."),
    "models": ("Data", "Nets: which there are, what is known of them, whether they run here; get and export them."),
    "cluster": ("Machines", "Machines in instance groups: make, show, resize, remove."),
}
_MACHINES, _DATA, _HERE, _CHAT = "Machines", "Data", "This machine", "Chat"


def _registered(made: Command, name: str) -> DeferredCommand:
    return DeferredCommand(name, made.doc, made.group or None, lambda: shell_command(made))


def _own(name: str, panel: str | None, function: Callable[..., None]) -> DeferredCommand:
    return DeferredCommand(name, inspect.getdoc(function) or "", panel, lambda: function)


_single: dict[str, DeferredCommand] = {}
_in_groups: dict[str, dict[str, DeferredCommand]] = {name: {} for name in _GROUPS}
_order: list[str] = []
for _made in commands():
    _first, _, _second = _made.name.partition(" ")
    _order.append(_first)
    if _second:
        _in_groups[_first][_second] = _registered(_made, _second)
    else:
        _single[_first] = _registered(_made, _first)
_in_groups["cluster"] |= {
    "create": _own("create", None, cluster.create),
    "delete": _own("delete", None, cluster.delete),
}
_single |= {
    name: _own(name, panel, function)
    for name, function, panel in (
        ("up", deployment.up, _HERE),
        ("down", deployment.down, _HERE),
        ("demo", demo.demo, _HERE),
        ("worker", worker.worker, _MACHINES),
        ("workers", worker.workers, _MACHINES),
        ("drain", worker.drain, _MACHINES),
        ("resume", worker.resume, _MACHINES),
        ("synth", data.synth, _DATA),
        ("import", volumes.import_, _DATA),
        ("inspect", volumes.inspect, _DATA),
        ("export", volumes.export, _DATA),
        ("export-segment", shapes.export_segment, _DATA),
        ("export-graph", products.export_graph, _DATA),
        ("export-tables", products.export_tables, _DATA),
        ("train", train.train, _DATA),
        ("chat", chat.chat, _CHAT),
        ("bot", chat.bot, _CHAT),
    )
}

app = typer.Typer(
    name="seuron",
    cls=group_of(_single, _order),
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


for _name, (_panel, _help) in _GROUPS.items():
    _group = typer.Typer(cls=group_of(_in_groups[_name]), help=_help, no_args_is_help=_name != "params")
    if _name == "params":

        @_group.callback(invoke_without_command=True)
        def _params(context: typer.Context) -> None:
            if context.invoked_subcommand is None:
                explain = shell_command(command_named("params explain"))
                explain(context, name="", pipeline="segmentation", as_json=False)

    app.add_typer(_group, name=_name, rich_help_panel=_panel)

app.add_typer(chunk.app, name="chunk", rich_help_panel=_DATA)
