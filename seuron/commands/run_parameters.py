"""The parameters of a run, from those that a user gave, those of the session and a preset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seuron.commands.answers import Session
from seuron.commands.argument_types import absolute_path
from seuron.commands.registry import Values
from seuron.errors import ParameterErrors

if TYPE_CHECKING:
    from seuron.engine.pipeline import Facts, Pipeline
    from seuron.params.run_parameters import RunParameters


def merged_values(session: Session, pipeline: Pipeline, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as given, those of the session and below all those of a preset; paths are made absolute.

    Tasks run in another folder, so a relative path would mean another place there. Raises ParameterErrors for relative
    paths of users at other machines.
    """
    found, problems = _merged(session, pipeline, values)
    if problems:
        raise ParameterErrors(problems)
    return found


def _merged(session: Session, pipeline: Pipeline, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The merged values and what is wrong with their preset, so that a check can go on and tell all else as well."""
    if getattr(values, "batch", ()):
        raise ParameterErrors(["a list of sets is for `run`; give one set of parameters here"], "the file")
    from seuron.params.presets import chosen_preset

    found, problems = chosen_preset({**session.parameters, **values}, pipeline.presets)
    outside: list[str] = []
    for name in pipeline.paths:
        text = found.get(name)
        if isinstance(text, str) and text.strip():
            try:
                found[name] = absolute_path(session, text, name)
            except ParameterErrors as error:
                outside += error.problems
    if outside:  # nothing is looked at where these would lead
        raise ParameterErrors([*problems, *outside])
    return found, problems


def parsed_values(session: Session, pipeline: Pipeline, values: Mapping[str, Any]) -> RunParameters:
    """The parameters; raises ParameterErrors with every problem.

    For this machine's deployment the volumes are checked as well; those of another one need not be reachable from here.
    """
    merged, problems = _merged(session, pipeline, values)
    if session.deployment.is_local:
        from seuron.engine.setup import parse_run

        params: RunParameters = parse_run(pipeline, merged, problems)
        return params
    from seuron.params.model import parse_leniently

    found: tuple[RunParameters | None, list[str], set[str]] = parse_leniently(pipeline.params, merged)
    parsed, wrong, _ = found
    if parsed is None or problems or wrong:
        raise ParameterErrors([*problems, *wrong])
    return parsed


def checked_values(
    session: Session, pipeline: Pipeline, values: Mapping[str, Any]
) -> tuple[RunParameters, Facts | None]:
    """The parameters of a run that may start, and the facts of its input.

    Raises ParameterErrors with all that is wrong. What another machine's volumes are is checked there, by the run's
    first task; there are no facts then.
    """
    params = parsed_values(session, pipeline, values)
    if not session.deployment.is_local:
        return params, None
    from seuron.engine.setup import check_run

    facts, problems = check_run(params)
    if problems:
        raise ParameterErrors(problems)
    return params, facts


def parameter_sets(values: Values) -> list[Values]:
    """The sets of parameters that were given, one or a batch.

    Each set begins with the values of the one before it, so what is equal in all is given in the first only; what is
    given beside the batch takes precedence over all.
    """
    if not values.batch:
        return [values]
    found, before = [], dict[str, Any]()
    for item in values.batch:
        before = {**before, **item}
        found.append(Values({**before, **values}))
    return found


def read_values(file: Path) -> Any:
    """The values in a JSON file, or a list of sets; raises ParameterErrors for one that holds anything else."""
    from seuron.params.json_values import parse_json  # loads pydantic

    try:
        values = parse_json(file.read_text())
    except (OSError, ValueError) as error:
        raise ParameterErrors([f"--params: cannot read {file}: {error}"]) from error
    if not isinstance(values, (dict, list)):
        wrong = (
            f"--params: {file} holds a JSON {type(values).__name__}; give an object of key: value, or a list of them"
        )
        raise ParameterErrors([wrong])
    return values
