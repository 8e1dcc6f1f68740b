"""Typed TOML files: a model out, or everything that is wrong with the file at once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from seuron.errors import ParameterErrors
from seuron.params.model import Parameters

Model = TypeVar("Model", bound=Parameters)


def read_typed(model: type[Model], path: Path, what: str) -> Model:
    """The model that a TOML file describes; raises ParameterErrors with all problems. `what` names the file's use."""
    return parse_typed(model, read_toml(path, what), f"{what} {path}")


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """What a TOML file holds; raises ParameterErrors where it cannot be read. `what` names the file's use."""
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise ParameterErrors([f"cannot read {path}: {error.strerror}"], what) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParameterErrors([f"not TOML: {error}"], f"{what} {path}") from error
    except RecursionError as error:
        raise ParameterErrors(["tables or lists are nested too deep"], f"{what} {path}") from error


def parse_typed(model: type[Model], document: Mapping[str, Any], what: str) -> Model:
    """The model of a parsed file; raises ParameterErrors with all problems.

    Values of names that may hold secrets are not repeated: no message has the input of a text that was refused.
    """
    try:
        return model.model_validate(dict(document))
    except ValidationError as error:
        problems = [_explained(model, item["loc"], str(item["type"]), str(item["msg"])) for item in error.errors()]
        raise ParameterErrors(problems, what) from None


def _explained(model: type[BaseModel], place: Sequence[str | int], kind: str, message: str) -> str:
    written = _written(place)
    if kind == "extra_forbidden":
        owner = model_at(model, place[:-1])
        near = get_close_matches(str(place[-1]), owner.model_fields, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"known are: {', '.join(owner.model_fields)}"
        return f"`{written}` is not known; {hint}"
    if kind == "missing":
        return f"`{written}` is missing"
    message = message.removeprefix("Value error, ")
    return f"`{written}`: {message}" if written else message


def _written(place: Sequence[str | int]) -> str:
    """`allow[1].may`, counted from 1 as people do."""
    text = ""
    for part in place:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def model_at(model: type[BaseModel], place: Sequence[str | int]) -> type[BaseModel]:
    """The model of the table at a place of the file."""
    for part in place:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return model


def _model_in(kind: Any) -> type[BaseModel] | None:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return next((found for inner in get_args(kind) if (found := _model_in(inner)) is not None), None)
