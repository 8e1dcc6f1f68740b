"""The trigger form of a DAG, made from the parameter model, so that the two cannot differ.

The form is a help, not the judge: it keeps typing errors out, and the model checks everything
again before the run's first task, with all problems in one message.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from airflow.sdk import Param
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from seuron.params.model import Parameters

#: Lists are typed as `1,2,3`: Airflow's own widget for lists of numbers is a JSON editor. A list
#: in a run's JSON is taken as well.
_NUMBERS = r"^\s*\[?\s*-?\d+([\s,]+-?\d+){%d}\s*\]?\s*$"
_LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "enum")


def form_parameters(model: type[Parameters]) -> dict[str, Param]:
    """One form field for each field of the model, in its order, in sections by group."""
    properties = model.model_json_schema()["properties"]
    return {name: _form_field(name, field, properties[name]) for name, field in model.model_fields.items()}


def _form_field(name: str, field: FieldInfo, described: dict[str, Any]) -> Param:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    unit = str(extra.get("unit") or "")
    help_text = f"{field.description} ({unit})" if unit else str(field.description)
    schema: dict[str, Any] = {
        **_value_schema(described, nullable=_is_nullable(field.annotation)),
        "title": name,
        "section": str(extra.get("group", "")),
        "description_md": help_text,
    }
    if field.examples:
        schema["examples"] = list(field.examples)
    if field.default is PydanticUndefined:
        return Param(description=help_text, **schema)
    return Param(_form_value(field.default), description=help_text, **schema)


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
    """Any of some words: Airflow's form makes a choice of several of the examples. A text `a,b` is taken as well."""
    return {"type": ["array", "string", "null"], "items": {"type": "string"}, "examples": list(item["enum"])}


def filled(values: Mapping[str, Any]) -> dict[str, Any]:
    """What came from the form, without the name of a preset, whose values fill what was left at its default."""
    return dict(values)


def _is_nullable(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType) and NoneType in get_args(annotation)


def _form_value(value: Any) -> Any:
    if value == ():
        return []
    return ",".join(str(item) for item in value) if isinstance(value, tuple) else value
