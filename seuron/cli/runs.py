"""Commands for runs: `run segmentation` and the reference of its parameters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from seuron.params import SegmentationParams

#: Parameters that are paths: they are made absolute, as tasks run in another folder.
PATHS = ("image", "affinities", "semantic", "ground_truth", "output", "store")


#: The ways to give parameters, which `run segmentation` and `plan` share.
Settings = Annotated[list[str] | None, typer.Argument(help="more parameters, key=value", metavar="[KEY=VALUE]...")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="a parameter; may be repeated")]
ParameterFile = Annotated[Path | None, typer.Option("--params", help="a JSON file of parameters")]
Image = Annotated[str | None, typer.Option(help="precomputed image to segment")]
Affinities = Annotated[str | None, typer.Option(help="precomputed affinities, instead of an image")]
Output = Annotated[str | None, typer.Option(help="folder of the run")]
GroundTruth = Annotated[str | None, typer.Option(help="precomputed labels to score against")]


def segmentation(
    settings: Settings = None,
    set_: Sets = None,
    params: ParameterFile = None,
    image: Image = None,
    affinities: Affinities = None,
    output: Output = None,
    ground_truth: GroundTruth = None,
    local: Annotated[bool, typer.Option("--local", help="without Airflow, in this process")] = False,
    workers: Annotated[int, typer.Option(min=1, help="with --local: processes to use")] = 1,
) -> None:
    """Segment a volume and wait for the end; `seuron params` lists all parameters.

    A run that was interrupted goes on when the same command is given again. With other parameters it
    computes what depends on them (`seuron plan --diff` shows what that is). The exit code is 0 only
    when the run succeeded, and 2 when parameters were wrong and nothing was started.
    """
    from seuron.cli.following import run_in_airflow, run_locally

    options = {"image": image, "affinities": affinities, "output": output, "ground_truth": ground_truth}
    parsed = read_parameters(params, [*(set_ or []), *(settings or [])], options)
    check_parameters(parsed)
    if local:
        run_locally(parsed, workers)
    else:
        finished = run_in_airflow(parsed)
        typer.echo(f"{finished.summary()}\nAirflow  {finished.page}\nreport   {finished.report}")


def read_parameters(file: Path | None, settings: list[str], options: dict[str, Any]) -> SegmentationParams:
    """Parameters from a JSON file, then `key=value` words, then options that are not None: the later ones win."""
    from seuron.params import parse_settings
    from seuron.preflight import parse_run

    given = {name: value for name, value in options.items() if value is not None}
    values = {**_read_json(file), **parse_settings(settings), **given}
    for name in PATHS:
        if isinstance(values.get(name), str) and values[name].strip():
            from seuron.cli.words import absolute

            values[name] = absolute(values[name])
    return parse_run(values)


def check_parameters(parameters: SegmentationParams) -> None:
    """Everything that can be checked before the first task; raises ParameterErrors with all problems."""
    from seuron.errors import ParameterErrors
    from seuron.preflight import check_run

    _, problems = check_run(parameters)
    if problems:
        raise ParameterErrors(problems)


def _read_json(file: Path | None) -> dict[str, Any]:
    import json

    from seuron.errors import ParameterErrors

    if file is None:
        return {}
    try:
        values = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ParameterErrors([f"--params: cannot read {file}: {error}"]) from error
    if not isinstance(values, dict):
        raise ParameterErrors([f"--params: {file} holds a JSON {type(values).__name__}; give an object of key: value"])
    return values


def params() -> None:
    """Print every parameter of a segmentation: default, unit and meaning."""
    from rich.console import Console
    from rich.table import Table

    from seuron.params import SegmentationParams

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("parameter", "default", "unit", "meaning"):
        table.add_column(column, overflow="fold")
    group = ""
    for name, field in SegmentationParams.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        if extra.get("group") != group:
            group = str(extra.get("group"))
            table.add_row(f"[bold]{group}[/bold]", end_section=False)
        default = "required" if field.is_required() else _word(field.default)
        table.add_row(f"  {name}", default, str(extra.get("unit", "")), str(field.description))
    Console().print(table)


def _word(value: Any) -> str:
    if value is None:
        return "-"
    return ",".join(str(item) for item in value) if isinstance(value, tuple) else str(value)
