"""Parsing parameters: text and JSON in, a frozen model out, every problem named at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from seuron.errors import ParameterErrors
from seuron.params.json_values import LONGEST_SHOWN, parse_json, shown


class Parameters(BaseModel):
    """Base of every stage's parameters: frozen, and unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


Model = TypeVar("Model", bound=Parameters)


def parse_parameters(model: type[Model], values: Mapping[str, Any]) -> Model:
    """The model made of `values`; raises ParameterErrors with all problems at once."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ParameterErrors(parse_leniently(model, values)[1]) from error


def parse_leniently(model: type[Model], values: Mapping[str, Any]) -> tuple[Model | None, list[str], set[str]]:
    """A model of those values that are fine, every problem with `values`, and the names at fault.

    For checks that go on where parsing has failed, so that a user hears of everything at once.
    pydantic checks combinations only once every field is valid, so wrong fields are left out (a
    required one gets a stand-in); what is then wrong because they are missing is not told. The
    model is None when the rest does not fit together either.
    """
    try:
        return model.model_validate(dict(values)), [], set()
    except ValidationError as error:
        problems = _problems(model, error)
        wrong = {str(item["loc"][0]) for item in error.errors() if item["loc"]}
    if not wrong:
        return None, problems, wrong
    rest = {key: value for key, value in values.items() if key not in wrong}
    for name, field in model.model_fields.items():
        if field.is_required() and name not in rest:
            rest[name] = "-"
    try:
        return model.model_validate(rest), problems, wrong
    except ValidationError as error:
        return None, problems + unrelated(_problems(model, error), wrong), wrong


def unrelated(problems: Sequence[str], names: set[str]) -> list[str]:
    """The problems that speak of none of these parameters."""
    return [problem for problem in problems if not any(f"`{name}`" in problem for name in names)]


def _problems(model: type[Parameters], error: ValidationError) -> list[str]:
    """The sentences of all of pydantic's errors."""
    return [sentence for item in error.errors() for sentence in _explain(model, dict(item))]


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """`key=value` words as a dictionary. A value is read as JSON where it is JSON, else as text."""
    values, problems = {}, []
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            problems.append(
                f"`{setting[:LONGEST_SHOWN]}` is not a setting; write key=value, for example chunk_size=128,128,128"
            )
            continue
        try:
            values[key.strip()] = parse_json(text)
        except ValueError:
            values[key.strip()] = text
    if problems:
        raise ParameterErrors(problems)
    return values


def _explain(model: type[Parameters], item: dict[str, Any]) -> list[str]:
    """The sentences of one of pydantic's errors: several, where a check has found several things."""
    name = str(item["loc"][0])[:LONGEST_SHOWN] if item["loc"] else ""
    if item["type"] == "extra_forbidden":
        near = get_close_matches(name, model.model_fields, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"known are: {', '.join(model.model_fields)}"
        return [f"`{name}` is not a parameter; {hint}"]
    found = str(item["msg"]).removeprefix("Value error, ").split("\n")
    if not name:
        return found
    field = model.model_fields.get(name)
    what = f" ({field.description})" if field is not None and field.description else ""
    if item["type"] == "missing":
        return [f"`{name}` is missing{what}"]
    return [f"`{name}`: got {shown(item.get('input'))}: {sentence}{what}" for sentence in found]
