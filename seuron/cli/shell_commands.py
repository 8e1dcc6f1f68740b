"""The commands of the registry as commands of the shell: arguments and options follow from their signatures."""

from __future__ import annotations

import getpass
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seuron.cli.output import echo
from seuron.commands.answers import Answer, Session, answer_of
from seuron.commands.argument_parser import parse_arguments
from seuron.commands.argument_types import RUN
from seuron.commands.formatting import plain_text
from seuron.commands.registry import Command, CommandParameter, Values, call
from seuron.engine.registry import pipelines
from seuron.errors import SeuronError
from seuron.printable import printable

if TYPE_CHECKING:
    from seuron.client import DeploymentClient

#: How parameters of a pipeline are given beside an option for each of them.
_SETTINGS, _SETS, _FILE, _PRESET, _JSON = "settings", "set_", "params", "preset", "as_json"
#: Names another deployment than this machine's.
_URL_VARIABLE = "SEURON_URL"
#: Runs whose names are offered for completion.
_COMPLETED = 50


def shell_command(made: Command) -> Callable[..., None]:
    """A function for typer that runs a command of the registry."""

    def run(context: typer.Context, **given: Any) -> None:
        as_json = given.pop(_JSON)
        answer = execute(made, context, given, as_json=as_json)
        show(answer, as_json=as_json)
        if answer.failed:
            raise typer.Exit(answer.code)

    parameters = [shell for parameter in made.parameters for shell in _shell_parameters(made, parameter)]
    parameters.insert(0, _keyword("context", typer.Context, inspect.Parameter.empty))
    parameters.append(_option(_JSON, bool, False, "for scripts: print JSON", "--json"))
    signature = inspect.Signature(parameters)
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__doc__, run.__name__ = made.doc, made.name.replace(" ", "_")
    return run


def execute(made: Command, context: typer.Context, given: Mapping[str, Any], *, as_json: bool) -> Answer:
    """Run a command with what typer has parsed; with JSON what seuron's own errors say is an answer as well."""
    with terminal_session(connection(context)) as session:
        try:
            return call(made, session, _given(made, given))
        except SeuronError as error:
            if not as_json:
                raise
            return answer_of(error)


@contextmanager
def terminal_session(deployment: DeploymentClient) -> Iterator[Session]:
    """A session of the user who is logged in, with progress in the terminal, once there is any."""
    with ExitStack() as stack:
        shown: list[Callable[[Answer], None]] = []

        def progress(answer: Answer) -> None:
            if not shown:
                from rich.console import Console

                from seuron.cli.progress import TerminalProgress

                shown.append(stack.enter_context(TerminalProgress(Console(stderr=True))))
            shown[0](answer)

        stack.callback(deployment.close)
        yield Session(deployment, getpass.getuser(), is_local=True, on_progress=progress)


def connection(context: typer.Context) -> DeploymentClient:
    """The deployment that the command is for: that of `--url` or $SEURON_URL, or this machine's."""
    from seuron.client import connect

    chosen = context.find_root().obj
    return connect(chosen.get("url") if isinstance(chosen, dict) else None)


def show(answer: Answer, *, as_json: bool) -> None:
    """Print an answer: to the error output when the command failed, unless programs read it."""
    if as_json:
        echo(json.dumps(answer.data, indent=1, default=str))
        return
    echo(plain_text(answer), err=answer.failed)


def _shell_parameters(made: Command, parameter: CommandParameter) -> Iterator[inspect.Parameter]:
    if parameter.takes_values:
        yield from _value_parameters(made)
        return
    if parameter.by_place and made.takes_values:
        return  # among the words that `parse_arguments` sorts
    default = inspect.Parameter.empty if parameter.required else parameter.default
    argument, complete = parameter.argument, _run_names if parameter.argument is RUN else None
    if parameter.by_place:
        metavar = argument.metavar or parameter.name.upper()
        info: Any = typer.Argument(help=argument.help, metavar=metavar, autocompletion=complete, show_default=False)
    else:
        flag = f"--{parameter.name.rstrip('_').replace('_', '-')}"  # `from_` is no word of Python's
        both = f"{flag}/--no-{flag.removeprefix('--')}" if parameter.is_flag and parameter.default else flag
        info = typer.Option(
            both,
            help=argument.help,
            metavar=argument.metavar or None,
            show_default=bool(parameter.default) and not parameter.is_flag,
        )
    yield _keyword(parameter.name, Annotated[parameter.kind, info], default)


def _value_parameters(made: Command) -> Iterator[inspect.Parameter]:
    """The ways to give a pipeline's parameters: words, a file, a preset, and an option for each of them."""
    places = [f"[{p.argument.metavar or p.name.upper()}]" for p in made.parameters if p.by_place]
    texts = "; ".join(["more parameters", *(p.argument.help for p in made.parameters if p.by_place)])
    settings = typer.Argument(help=texts, metavar=" ".join([*places, "[KEY=VALUE]..."]), show_default=False)
    yield _keyword(_SETTINGS, Annotated[list[str] | None, settings], None)
    sets = typer.Option("--set", metavar="KEY=VALUE", help="a parameter; may be repeated")
    yield _keyword(_SETS, Annotated[list[str] | None, sets], None)
    yield _option(_FILE, Path | None, None, "a JSON file of parameters", "--params")
    preset = typer.Option("--preset", help="values for a kind of data, below those given", autocompletion=_preset_names)
    yield _keyword(_PRESET, Annotated[str | None, preset], None)
    own = {parameter.name for parameter in made.parameters} | {_PRESET}
    for name, field in _pipeline_fields(made).items():
        if name not in own:
            extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
            unit = f" ({extra['unit']})" if extra.get("unit") else ""
            info = typer.Option(
                f"--{name.replace('_', '-')}",
                help=f"{field.description}{unit}",
                metavar="VALUE",
                rich_help_panel=f"Parameters: {extra.get('group', '')}",
                show_default=False,
            )
            yield _keyword(_field_name(name), Annotated[str | None, info], None)


def _pipeline_fields(made: Command) -> Mapping[str, Any]:
    """The parameters that a command takes: those of the pipeline that it is named after, else of the first."""
    words = made.name.split()
    known = pipelines()
    chosen = next((pipeline for pipeline in known if pipeline.name in words), known[0])
    fields: Mapping[str, Any] = chosen.params.model_fields
    return fields


def _field_name(name: str) -> str:
    return f"field_{name}"


def _option(name: str, kind: Any, default: Any, help: str, flag: str) -> inspect.Parameter:
    return _keyword(name, Annotated[kind, typer.Option(flag, help=help, show_default=False)], default)


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _given(made: Command, given: Mapping[str, Any]) -> dict[str, Any]:
    """What typer has parsed, as the command wants it: of a pipeline's parameters a file's, then words, then options."""
    own = {parameter.name for parameter in made.parameters if not parameter.takes_values}
    found = {name: value for name, value in given.items() if name in own}
    if not made.takes_values:
        return found
    from seuron.commands.run_parameters import read_values

    file = given.get(_FILE)
    words = [*(given.get(_SETS) or []), *(given.get(_SETTINGS) or [])]
    parsed = parse_arguments(made, words, read_values(file) if file is not None else None)
    options = {name.removeprefix("field_"): text for name, text in given.items() if name.startswith("field_")}
    later = {name: text for name, text in {_PRESET: given.get(_PRESET), **options}.items() if text is not None}
    return found | {
        name: value.with_values(later) if isinstance(value, Values) else value for name, value in parsed.items()
    }


def _run_names(incomplete: str) -> list[str]:
    """Names of runs that begin so, for the shell's completion; none while no deployment answers."""
    from seuron.client import connect

    try:
        names = {handle.name for handle in connect().runs(most=_COMPLETED)}
    except SeuronError:
        return []
    return sorted(name for name in names if name.startswith(incomplete) and name == printable(name))


def _preset_names(incomplete: str) -> list[str]:
    return [name for pipeline in pipelines() for name in pipeline.presets if name.startswith(incomplete)]
