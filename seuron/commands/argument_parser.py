"""The parser of arguments: what a person typed behind a command's phrase, by the command's own signature.

    cancel first why="wrong threshold"        ->  run="first", why="wrong threshold"
    run segmentation preset=fib25 mip=1       ->  values={"preset": "fib25", "mip": 1}

Every front end but the shell uses it, so that the same words mean the same everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from seuron.commands.registry import Command, CommandParameter, Values
from seuron.errors import ParameterErrors, did_you_mean

#: A pipeline's parameters from a file: one set of them, or a batch.
Attached = Mapping[str, Any] | Sequence[Mapping[str, Any]]


def parse_arguments(command: Command, words: Sequence[str], attached: Attached | None = None) -> dict[str, Any]:
    """A command's parameters by their names; `attached` are a pipeline's parameters from a file.

    `key=value` gives a parameter of the command or, where it takes those, of the pipeline, several times where it
    is a list; the name of a flag alone sets it; other words are taken by their places.
    Raises ParameterErrors with all that is wrong.
    """
    known = {parameter.name: parameter for parameter in command.parameters if not parameter.argument.local_only}
    places = [parameter for parameter in known.values() if parameter.by_place]
    given: dict[str, Any] = {}
    values, problems = _from_file(attached), list[str]()
    for word in words:
        key, equals, text = word.partition("=")
        name = key.strip().lstrip("-").replace("-", "_")
        parameter = known.get(name)
        if equals and parameter is not None and not parameter.takes_values:
            _take(given, parameter, text, problems)
        elif equals and command.takes_values and name:
            values[name] = plain(text)
        elif equals:
            problems.append(_unknown(command, name, known))
        elif parameter is not None and parameter.is_flag:
            given[parameter.name] = True
        elif free := [place for place in places if place.name not in given]:
            _take(given, free[0], word, problems)
        elif command.takes_values:
            problems.append(f"{word!r} is not a setting; write key=value, for example chunk_size=128,128,128")
        else:
            problems.append(f"{word!r} is one word too many; write {command.usage}")
    if attached and not command.takes_values:
        problems.append(f"`{command.name}` takes no parameters from a file; write {command.usage}")
    missing = [p for p in known.values() if p.required and not p.takes_values and p.name not in given]
    problems += [
        f"{p.argument.metavar or p.name.upper()} is missing ({p.argument.help}); write {command.usage}" for p in missing
    ]
    if problems:
        raise ParameterErrors(problems, f"`{command.name}`")
    return given | {parameter.name: values for parameter in known.values() if parameter.takes_values}


def _from_file(attached: Attached | None) -> Values:
    if attached is None or isinstance(attached, Mapping):
        return Values(attached)
    wrong = [
        f"set {number}: got {item!r}; give an object of key: value"
        for number, item in enumerate(attached, 1)
        if not isinstance(item, Mapping)
    ]
    if wrong or not attached:
        raise ParameterErrors(wrong or ["the list of sets is empty"], "the file")
    return Values(batch=attached)


def plain(text: str) -> Any:
    """A value as JSON where it is JSON, else as the text that it is."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # no JSON, or a number or a nesting that Python does not take
        return text


def _take(given: dict[str, Any], parameter: CommandParameter, text: str, problems: list[str]) -> None:
    if parameter.is_list:
        given.setdefault(parameter.name, []).append(text)
        return
    if parameter.name in given:
        problems.append(f"`{parameter.name}` is given twice")
        return
    from pydantic import TypeAdapter, ValidationError

    try:
        given[parameter.name] = TypeAdapter(parameter.kind).validate_python(text)
    except ValidationError:
        problems.append(f"`{parameter.name}`: got {text!r}; {_allowed(parameter, text)}")


def _allowed(parameter: CommandParameter, text: str) -> str:
    if get_origin(parameter.kind) is Literal:
        choices = [str(choice) for choice in get_args(parameter.kind)]
        return did_you_mean(text, choices, f"allowed are {', '.join(choices)}")
    kinds = {int: "a whole number", float: "a number", bool: "yes or no"}
    wanted = next(
        (words for kind, words in kinds.items() if kind is parameter.kind or kind in get_args(parameter.kind)), ""
    )
    return f"expected {wanted or 'another value'} ({parameter.argument.help})"


def _unknown(command: Command, name: str, known: Mapping[str, CommandParameter]) -> str:
    hint = did_you_mean(name, known, f"write {command.usage}", quote="`")
    return f"`{command.name}` has no parameter `{name}`; {hint}"
