"""The page of commands: made of the registry, the Python API's docstrings, and what the reference's bot could do."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from seuron.client import DeploymentClient, RunHandle
from seuron.commands import EXIT_CODES, Command, CommandParameter, commands, find
from seuron.engine.registry import BUILT_IN, pipeline_named
from seuron.engine.states import MEANINGS

#: The commands of the reference's bot: its phrases, ours where there is one, and what is to be said of it.
REFERENCE: tuple[tuple[str, str, str], ...] = (
    (
        "cancel run",
        "cancel",
        "any run by its name, without a token: who may is a right; it is cancelled, not a success",
    ),
    ("show segmentation parameters", "params show", "of the session, or of any run"),
    ("(please) update parameters", "params set", "all that is wrong at once; the difference is shown"),
    ("(please) update segmentation parameters", "params set", ""),
    ("run segmentation(s)", "run segmentation", "any number at once"),
    ("airflow, show airflow", "links", ""),
    ("enable / disable heartbeat check", "", "always on: a worker that is silent is replaced (docs/clusters.md)"),
    (
        "update inference parameters, run inference(s)",
        "",
        "no pipeline of its own yet; `image=` in a segmentation predicts",
    ),
    ("run pipeline", "run segmentation", "from the image to segments in one run"),
    ("extract contact surfaces", "run products", "of any segmentation (docs/products.md)"),
    ("update synaptor parameters, run synaptor", "", "synapses are not there yet"),
    ("run igneous task(s)", "", "meshes are not there yet; uploaded scripts are never run"),
    ("run custom cpu / gpu task(s)", "", "never: an uploaded script would run with the deployment's rights"),
    ("update python package(s)", "", "never, for the same reason; packages are those of the lock"),
    ("redeploy docker stack", "", "the machine's own: `docker compose up`, `seuron up`"),
    ("update training parameters, run training", "", "`seuron train` on files; WebKnossos annotations are not read"),
    ("update easy seg parameters, run easy seg", "", "not there; `bbox=` segments a box of a volume"),
    ("update webknossos parameters, make a cutout, export annotations", "", "WebKnossos is not connected"),
    ("update cutout source, show cutout link", "", "the same"),
    ("grafana, show grafana", "links", "where `SEURON_LINKS` names it"),
    ("jupyter, jupyterlab, show jupyterlab", "", "no notebook server is run; the Python API works in any"),
)


def commands_page() -> str:
    """How commands are given, all of them by group, exit codes, states, presets, Python, and the reference."""
    parts = [_head(), _exit_codes(), _states(), *_groups(), _presets(), _python(), _reference()]
    return "\n\n".join(parts) + "\n"


def _head() -> str:
    return (
        "# Commands\n\n"
        "Every command is written once, in `seuron/commands/`, and every way in has it: the shell as `seuron ...`, "
        "a chat by the same words, Python through `seuron.commands.execute`.\n\n"
        "A run is named by the last part of its folder, by Airflow's id, or by a beginning that fits only one; "
        "`latest` is the one started last.\n"
        'What is written with `=` is given by name (`why="too large"`, in the shell `--why "too large"`), '
        "others by their place.\n"
        "Where `KEY=VALUE` stands, parameters of the pipeline are taken ([parameters.md](parameters.md)): a preset's, "
        "then those of a file (`--params FILE.json`, or attached to a message), then words, then the shell's options; "
        "the later ones win.\n\n"
        "In the shell every command has `--json`; `seuron --install-completion` makes it complete commands, runs and "
        "presets.\n"
        "`seuron --url https://... COMMAND`, or `SEURON_URL`, asks another deployment; its token is `SEURON_TOKEN`.\n"
        "What needs a run's folder (`report`, `plan`, `redo` with a stage, `sweep`, `explain`, `evaluate`, `gc`) then "
        "works where that is reached from here: "
        "a bucket, or a shared folder."
    )


def _exit_codes() -> str:
    rows = [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    rows.append("| 130 | Ctrl-C; a run in Airflow continues |")
    note = (
        "\n\n`cluster create --check` has 3 where something would change, and `worker` codes of its own: "
        "`seuron COMMAND --help` names them."
    )
    return "\n".join(["## Exit codes\n", "| code | meaning |", "|---|---|", *rows]) + note


def _states() -> str:
    rows = [f"| {state} | {meaning} |" for state, meaning in MEANINGS.items()]
    note = (
        "\n\nAirflow itself knows a cancelled run as failed. Who cancelled or paused it, when and why stands in the "
        "run's note in Airflow and in `OUTPUT/stopped/`, written before the state is set."
    )
    return "\n".join(["## States of a run\n", "| state | meaning |", "|---|---|", *rows]) + note


def _groups() -> Iterator[str]:
    groups: dict[str, list[Command]] = {}
    for made in commands():
        groups.setdefault(made.group, []).append(made)
    for group, found in groups.items():
        yield "\n\n".join([f"## {group}", *map(_command, found)])


def _command(made: Command) -> str:
    lines = [f"### {made.name}\n", f"`{made.usage}`\n", " ".join(made.doc.split())]
    said = [parameter for parameter in made.parameters if not parameter.takes_values]
    if said:
        lines += ["", "| | | |", "|---|---|---|", *map(_parameter, said)]
    also = f" Also: {', '.join(f'*{alias}*' for alias in made.aliases)}." if made.aliases else ""
    return "\n".join([*lines, "", f"Takes the right to *{made.permission}*.{also}"])


def _parameter(parameter: CommandParameter) -> str:
    default = "required" if parameter.required else "" if parameter.default in ("", None) else f"`{parameter.default}`"
    kind = parameter.kind
    allowed = f" ({', '.join(map(str, get_args(kind)))})" if get_origin(kind) is Literal else ""
    only = " Only in the shell." if parameter.argument.local_only else ""
    return f"| `{parameter.name}` | {default} | {parameter.argument.help}{allowed}{'.' if only else ''}{only} |"


def _presets() -> str:
    parts = ["## The presets"]
    found = [(pipeline, item) for pipeline in map(pipeline_named, BUILT_IN) for item in pipeline.presets.items()]
    for pipeline, (name, preset) in found:
        values = ", ".join(f"`{key}={_written(value)}`" for key, value in preset.values.items())
        parts.append(f"**{name}** of `{pipeline.name}`: {preset.data}.\n{values}.\nSource: {preset.source}.")
    return "\n\n".join(parts)


def _written(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _python() -> str:
    example = inspect.cleandoc(
        """
        ```python
        import seuron

        deployment = seuron.connect()  # this machine's; connect("https://...", token=...) another one
        run = deployment.run(seuron.SegmentationParams(image="/data/image", output="/data/runs/first"))
        status = run.wait(lambda seen: print(seen.sentence))
        if status.state == "failed":
            print(*run.errors(), sep="\\n")
        ```
        """
    )
    after = (
        "Errors are those of `seuron.errors`: ParameterErrors with all problems, NotFoundError, UnreachableError, "
        "RefusedError, RunError.\n"
        "`seuron.commands.execute(Session(deployment, who), words)` gives any command above and its answer: `text`, "
        "`data`, `links`, `pictures`, `code`."
    )
    parts = ["## Python", example, "### seuron.connect() gives a deployment", _methods(DeploymentClient)]
    return "\n\n".join([*parts, "### A deployment gives runs", _methods(RunHandle), after])


def _methods(kind: type) -> str:
    """The public methods and properties of a class with the first sentence of what they do."""
    rows = ["| | |", "|---|---|"]
    for name, member in vars(kind).items():
        function = getattr(member, "fget", None) or getattr(member, "func", None) or member
        if not name.startswith("_") and inspect.isfunction(function) and function.__doc__:
            told = " ".join(inspect.cleandoc(function.__doc__).partition("\n\n")[0].split())
            call = _call(function) if function is member else name
            rows.append(f"| `{call}` | {told} |".replace(" | None", " \\| None"))
    return "\n".join(rows)


def _call(function: Any) -> str:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    written = re.sub(r"'([A-Za-z][^']*)'", r"\1", ", ".join(map(str, parameters)))
    return f"{function.__name__}({written})"


def _reference() -> str:
    rows = []
    for said, ours, why in REFERENCE:
        if ours:
            assert find(ours.split())[0].name == ours
        rows.append(f"| {said} | {f'`{ours}`' if ours else 'no'} | {why} |")
    return "\n".join(
        [
            "## Coming from the reference's bot\n",
            "Its phrases are understood where there is a command. Beyond them there are `status`, `runs`, `logs`, "
            "`pause`, `continue`, `redo`, `plan`, `report`, `view`, `cost`, `sweep`, `explain`, `evaluate`, `gc`, "
            "`presets`, `params explain`, `params check`, `params diff` and `cluster`.\n",
            "| there | here | |",
            "|---|---|---|",
            *rows,
        ]
    )
