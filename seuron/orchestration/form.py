"""The trigger form of a DAG, made from the parameter model, so that the two cannot differ.

The form is a help, not the judge: a browser takes from a field's schema how to show it, what to offer and which
limits to hold. Airflow itself would refuse a run for the first value that does not fit, and name no other. So it only
refuses what it could not deliver to a task (`_DELIVERABLE`), and `prepare` checks all else: with all problems in one
message.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from airflow.sdk import Param
from pydantic.fields import FieldInfo

from seuron.engine.pipeline import Pipeline
from seuron.params.presets import Preset, chosen_preset
from seuron.params.run_parameters import fields_by_group

#: Lists are typed as `1,2,3`: Airflow's own widget for lists of numbers is a JSON editor. A list
#: in a run's JSON is taken as well.
_NUMBERS = r"^\s*\[?\s*-?\d+([\s,]+-?\d+){%d}\s*\]?\s*$"
#: The field that names a preset, and its value when none is chosen: the form takes no empty one.
PRESET = "preset"
NO_PRESET = "none"
#: Tasks are handed over as MessagePack, whose integers have 64 bits: with another one no task of the run would begin.
#: A run's parameters are kept as PostgreSQL's JSON, which has neither NaN (to JSON Schema the one number that is
#: above 0 and below it) nor the character NUL nor half a surrogate pair: the answer was an error that named nothing.
#: In draft 7 of JSON Schema what stands beside a `$ref` is not enforced, but browsers are shown it all the same.
_DELIVERABLE: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "$ref": "#/definitions/deliverable",
    "definitions": {
        "deliverable": {
            "minimum": -(2**63),
            "maximum": 2**63 - 1,
            "not": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0},
            "pattern": r"^[^\x00\ud800-\udfff]*$",
            "items": {"$ref": "#/definitions/deliverable"},
            "additionalProperties": {"$ref": "#/definitions/deliverable"},
        }
    },
}
_LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "enum")


def form_parameters(pipeline: Pipeline) -> dict[str, Param]:
    """The choice of a preset, where there are any, then a field for each parameter, in sections by group."""
    properties = pipeline.schema
    fields = {
        name: _form_field(name, field, properties[name])
        for group in fields_by_group(pipeline.params).values()
        for name, field in group.items()
    }
    return {**({PRESET: preset_field(pipeline.presets)} if pipeline.presets else {}), **fields}


def _form_field(name: str, field: FieldInfo, described: dict[str, Any]) -> Param:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    unit = str(extra.get("unit") or "")
    help_text = f"{field.description} ({unit})" if unit else str(field.description)
    schema: dict[str, Any] = {
        **_value_schema(described, nullable=_is_nullable(field.annotation)),
        "title": name,
        "section": str(extra.get("group", "")),
        "description_md": help_text,
        **_DELIVERABLE,
    }
    if field.examples:
        schema["examples"] = list(field.examples)
    # What is left out of a required field is `prepare`'s to name, beside all else: Airflow would name it alone.
    default = None if field.is_required() else _form_value(field.default)
    return Param(default, description=help_text, **schema)


def _value_schema(described: dict[str, Any], *, nullable: bool) -> dict[str, Any]:
    """The JSON schema of a field's values, as flat as Airflow's form wants it."""
    inner = next((option for option in described.get("anyOf", []) if option.get("type") != "null"), described)
    kind = inner.get("type", "string")
    schema = {key: inner[key] for key in _LIMITS if key in inner}
    types = [kind]
    if kind == "array" and "maxItems" not in inner:
        return _choices(inner["items"])
    if kind == "array":
        types = ["string", "array"]
        # With null allowed, an emptied field sends an empty text.
        pattern = _NUMBERS % (inner["minItems"] - 1)
        schema["pattern"] = rf"^\s*$|{pattern}" if nullable else pattern
        schema["items"] = {"type": "integer"}
        schema |= {"minItems": inner["minItems"], "maxItems": inner["maxItems"]}
    return {"type": [*types, "null"] if nullable else types if len(types) > 1 else kind, **schema}


def _choices(item: dict[str, Any]) -> dict[str, Any]:
    """Words, also as a text `a,b`: Airflow's form makes a choice of several of the examples, where there are some."""
    choice = {"examples": list(item["enum"])} if "enum" in item else {}
    return {"type": ["array", "string", "null"], "items": {"type": "string"}, **choice}


def preset_field(presets: Mapping[str, Preset]) -> Param:
    """The choice of a preset, whose values fill what is left at its default (`filled`)."""
    listed = "\n".join(f"- **{name}**: {preset.data}" for name, preset in presets.items())
    text = "values for a kind of data; they fill all fields that are left at their defaults"
    # Airflow shows a plain description before one with markup, so that there is none.
    return Param(
        NO_PRESET,
        type="string",
        enum=[NO_PRESET, *presets],
        title=PRESET,
        section="Preset",
        description_md=f"{text}\n\n{listed}",
        **_DELIVERABLE,
    )


def filled(pipeline: Pipeline, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What came from a form, with the values of the preset that it names for what was left at its default.

    A form sends every field, so that one which was set to its default cannot be told from one that was left alone.
    Where no preset is called so, the values are without one, and there is a problem.
    """
    fields = pipeline.params.model_fields
    required = {name for name, field in fields.items() if field.is_required()}
    named = {
        name: value for name, value in values.items() if name != PRESET and not (name in required and value is None)
    }
    if values.get(PRESET) in (None, "", NO_PRESET):
        return named, []
    defaults = {name: _form_value(field.default) for name, field in fields.items()}
    chosen = {name: value for name, value in named.items() if name not in defaults or _differs(value, defaults[name])}
    return chosen_preset({PRESET: values[PRESET], **chosen}, pipeline.presets)


def _differs(value: Any, default: Any) -> bool:
    shown = _form_value(tuple(value)) if isinstance(value, (list, tuple)) else value
    return bool(shown != default) and not (default is None and shown == "")


def _is_nullable(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType) and NoneType in get_args(annotation)


def _form_value(value: Any) -> Any:
    if value == ():
        return []
    return ",".join(str(item) for item in value) if isinstance(value, tuple) else value
