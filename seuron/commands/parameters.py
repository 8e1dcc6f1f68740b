"""Commands for parameters: show, explain, check, compare and set them, and presets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from seuron.commands.answers import Answer, Session
from seuron.commands.formatting import diff_lines, table, value_text
from seuron.commands.registry import Argument, Values, command
from seuron.commands.run_parameters import checked_values, merged_values, read_values
from seuron.engine.registry import pipeline_named, pipelines
from seuron.errors import NotFoundError, ParameterErrors, did_you_mean

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from seuron.engine.pipeline import Pipeline

GROUP = "Parameters"
PIPELINE = Argument("whose parameters")
SEGMENTATION = "segmentation"


@command(
    "params show",
    aliases=("show parameters", "show segmentation parameters", "show params", "parameters"),
    permission="look",
    group=GROUP,
)
def show(
    session: Session,
    values: Values,
    *,
    run: Annotated[str, Argument("those of a run instead")] = "",
    pipeline: Annotated[str, PIPELINE] = SEGMENTATION,
) -> Answer:
    """Show the values that a run started now would have, or those of a run; what is no default is marked."""
    found = pipeline_named(pipeline)
    given = _of_run(session, found, run) if run else merged_values(session, found, values)
    full = {**_defaults(found), **given}
    rows = [
        (
            ("* " if name in given and value_text(value) != _default_text(found, name) else "  ") + name,
            value_text(value),
        )
        for name, value in full.items()
    ]
    return Answer(table(("parameter", "value"), rows), {**full})


@command("params explain", aliases=("explain parameter", "explain parameters"), permission="look", group=GROUP)
def explain(
    session: Session,
    name: Annotated[str, Argument("a parameter; all of them when left out")] = "",
    *,
    pipeline: Annotated[str, PIPELINE] = SEGMENTATION,
) -> Answer:
    """Say what a parameter means: its unit, its default, what is allowed, examples."""
    found = pipeline_named(pipeline)
    described = described_parameters(found)
    if not name:
        return Answer(_list(described), described)
    if name not in described:
        hint = did_you_mean(name, described, f"there are {', '.join(described)}", most=3, cutoff=0.4)
        raise NotFoundError(f"no parameter is called {name!r}; {hint}")
    return Answer(_explained(name, described[name]), {name: described[name]})


@command("params check", aliases=("check parameters", "check params"), permission="run", group=GROUP)
def check(session: Session, values: Values, *, pipeline: Annotated[str, PIPELINE] = SEGMENTATION) -> Answer:
    """Check parameters and the volumes that they name, as a start would; all problems are reported at once."""
    params, _ = checked_values(session, pipeline_named(pipeline), values)
    note = "" if session.deployment.is_local else "; the volumes are checked where the deployment is"
    return Answer(f"nothing is wrong{note}", params.model_dump(mode="json"))


@command("params diff", aliases=("diff parameters", "compare parameters"), permission="look", group=GROUP)
def diff(
    session: Session,
    values: Values,
    against: Annotated[str, Argument("a run, or `defaults`")] = "defaults",
    *,
    run: Annotated[str, Argument("compare this run's, instead of those given")] = "",
    pipeline: Annotated[str, PIPELINE] = SEGMENTATION,
) -> Answer:
    """Say which parameters differ from those of a run or from the defaults, and how."""
    found = pipeline_named(pipeline)
    defaults = _defaults(found)
    before = defaults if against == "defaults" else {**defaults, **_of_run(session, found, against)}
    after = {**defaults, **(_of_run(session, found, run) if run else merged_values(session, found, values))}
    lines = diff_lines(_normal(found, before), _normal(found, after))
    names = [line.partition(":")[0] for line in lines]
    data = {name: {"before": before.get(name), "after": after.get(name)} for name in names}
    return Answer("\n".join(lines) or "they are the same", data)


@command(
    "params set",
    aliases=("update parameters", "update segmentation parameters", "set parameters", "please update parameters"),
    permission="run",
    group=GROUP,
)
def set_(
    session: Session,
    values: Values,
    *,
    file: Annotated[Path | None, Argument("the JSON file to change, made if it is not there", local_only=True)] = None,
    pipeline: Annotated[str, PIPELINE] = SEGMENTATION,
) -> Answer:
    """Keep values for the next runs, in the session or in a file, and show what changes.

    A value `null` takes one out. Values that are wrong by themselves are refused; `params check` checks all.
    """
    found = pipeline_named(pipeline)
    if file is None and session.is_local:
        raise ParameterErrors(["say where to keep them: `--file parameters.json`, which `--params` then reads"])
    before = dict(session.parameters)
    if file is not None:
        before = _object(file)
    given = merged_values(_bare(session), found, values)
    after = {name: value for name, value in {**before, **given}.items() if value is not None}
    _refuse_wrong(found, after)
    if file is not None:
        file.write_text(json.dumps(after, indent=2) + "\n")
    else:
        session.parameters.clear()
        session.parameters.update(after)
    lines = diff_lines(before, after)
    return Answer("\n".join(lines) or "nothing changes", {"before": before, "after": after})


@command("presets", aliases=("show presets", "list presets"), permission="look", group=GROUP)
def presets(session: Session, name: Annotated[str, Argument("one of them, with its values")] = "") -> Answer:
    """List the presets: named values for a kind of data, to be given as `preset=NAME`."""
    known = {name: (pipeline.name, preset) for pipeline in pipelines() for name, preset in pipeline.presets.items()}
    data = {
        title: {"pipeline": pipeline, "data": preset.data, "source": preset.source, "values": preset.values}
        for title, (pipeline, preset) in known.items()
    }
    if not name:
        return Answer("\n".join(f"{title}: {preset.data}" for title, (_, preset) in known.items()), data)
    if name not in known:
        hint = did_you_mean(name, known, f"there are {', '.join(known)}", cutoff=0.4)
        raise NotFoundError(f"no preset is called {name!r}; {hint}")
    preset = known[name][1]
    rows = [(key, value_text(value)) for key, value in preset.values.items()]
    return Answer(f"{name}: {preset.data}; {preset.source}\n{table(('parameter', 'value'), rows)}", {name: data[name]})


def described_parameters(pipeline: Pipeline) -> dict[str, dict[str, Any]]:
    """The description of each parameter of a pipeline: group, unit, default, help, limits, examples."""
    from seuron.params.run_parameters import fields_by_group

    properties = pipeline.schema
    groups = fields_by_group(pipeline.params).values()
    return {name: _described(field, properties[name]) for group in groups for name, field in group.items()}


def _described(field: FieldInfo, schema: dict[str, Any]) -> dict[str, Any]:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    return {
        "group": str(extra.get("group", "")),
        "help": str(field.description),
        "unit": str(extra.get("unit", "")),
        "required": field.is_required(),
        "default": None if field.is_required() else field.default,
        "allowed": _allowed(schema),
        "examples": list(field.examples or []),
    }


_LIMITS = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "above", "exclusiveMaximum": "below"}


def _allowed(schema: dict[str, Any]) -> str:
    """What a schema allows, in words; empty where that is anything."""
    inner = next((option for option in schema.get("anyOf", []) if option.get("type") != "null"), schema)
    if "enum" in inner:
        return "one of " + ", ".join(map(str, inner["enum"]))
    if inner.get("type") == "array" and "enum" in inner.get("items", {}):
        return "any of " + ", ".join(map(str, inner["items"]["enum"]))
    if inner.get("type") == "array":
        return f"{inner['minItems']} numbers"
    kind = {"integer": "a whole number", "number": "a number"}.get(str(inner.get("type")), "")
    limits = [f"{words} {inner[key]:g}" for key, words in _LIMITS.items() if key in inner]
    return ", ".join(filter(None, [kind, " and ".join(limits)]))


def _list(described: dict[str, dict[str, Any]]) -> str:
    lines, group = [], ""
    for name, told in described.items():
        if told["group"] != group:
            group = told["group"]
            lines.append(f"\n{group}")
        default = "required" if told["required"] else value_text(told["default"])
        unit = f" {told['unit']}" if told["unit"] else ""
        lines.append(f"  {name} ({default}{unit}): {told['help']}")
    return "\n".join(lines).strip()


def _explained(name: str, told: dict[str, Any]) -> str:
    lines = [f"{name}: {told['help']}"]
    lines.append("it must be given" if told["required"] else f"default: {value_text(told['default'])}")
    for word in ("unit", "allowed"):
        lines += [f"{word}: {told[word]}"] if told[word] else []
    lines += [f"for example {', '.join(map(value_text, told['examples']))}"] if told["examples"] else []
    return "\n".join([*lines, f"group: {told['group']}"])


def _defaults(pipeline: Pipeline) -> dict[str, Any]:
    return {
        name: None if field.is_required() else field.default for name, field in pipeline.params.model_fields.items()
    }


def _default_text(pipeline: Pipeline, name: str) -> str:
    return value_text(_defaults(pipeline).get(name))


def _of_run(session: Session, pipeline: Pipeline, run: str) -> dict[str, Any]:
    given = session.find(run).parameters()
    return {name: value for name, value in given.items() if name in pipeline.params.model_fields}


def _normal(pipeline: Pipeline, values: dict[str, Any]) -> dict[str, Any]:
    """Values as the model writes them, where they are right: `1,2,3` and `[1, 2, 3]` are the same."""
    from seuron.params.model import parse_leniently

    params, _, wrong = parse_leniently(pipeline.params, {k: v for k, v in values.items() if v is not None})
    parsed = {} if params is None else {k: getattr(params, k) for k in values if k not in wrong and hasattr(params, k)}
    return {name: parsed[name] if values[name] is not None and name in parsed else values[name] for name in values}


def _refuse_wrong(pipeline: Pipeline, values: dict[str, Any]) -> None:
    """Raise ParameterErrors for values that are wrong by themselves; what is missing may still come."""
    from seuron.params.model import parse_leniently

    _, problems, wrong = parse_leniently(pipeline.params, values)
    named = [problem for problem in problems if any(f"`{name}`" in problem for name in wrong & values.keys())]
    if named:
        raise ParameterErrors(named)


def _object(file: Path) -> dict[str, Any]:
    """What a file holds by now: one set of values, none where it is not there."""
    values = read_values(file) if file.exists() else {}
    if isinstance(values, dict):
        return values
    raise ParameterErrors([f"{file} holds a list of sets; change it by hand, or give another file"])


def _bare(session: Session) -> Session:
    """The session without its parameters: what is given now, and no more."""
    return Session(session.deployment, session.who, is_local=session.is_local)
