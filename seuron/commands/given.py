"""From what was given of a pipeline's parameters to the parameters of a run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seuron.commands.answers import Session
from seuron.commands.registry import Values
from seuron.errors import ParameterErrors
from seuron.params.model import Parameters, parse_parameters
from seuron.params.presets import with_preset
from seuron.pipelines.registry import Pipeline


def merged(session: Session, pipeline: Pipeline, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as given, those of the session and below all those of a preset; paths are made absolute.

    A path without a scheme means this machine's: tasks run in another folder. Who is not at this machine has no
    folder that a path could begin at; raises ParameterErrors for such a one.
    """
    if getattr(values, "batch", ()):
        raise ParameterErrors(["a list of sets is for `run`; give one set of parameters here"], "the file")
    found = with_preset({**session.parameters, **values}, pipeline.name)
    problems: list[str] = []
    for name in pipeline.paths:
        text = found.get(name)
        if isinstance(text, str) and text.strip() and "://" not in text:
            path = os.path.expanduser(text.strip())
            if not session.here and not Path(path).is_absolute():
                problems.append(
                    f"`{name}`: got {text!r}; give the whole path, such as /data/runs/first or gs://bucket/first"
                )
            found[name] = os.path.abspath(path)
    if problems:
        raise ParameterErrors(problems)
    return found


def parsed(session: Session, pipeline: Pipeline, values: Mapping[str, Any]) -> Parameters:
    """The parameters; raises ParameterErrors with every problem.

    For this machine's deployment the volumes are looked at as well; another one's need not be reached from here.
    """
    found = merged(session, pipeline, values)
    if session.deployment.here:
        return pipeline.steps.parse(found)
    return parse_parameters(pipeline.model, found)


def checked(session: Session, pipeline: Pipeline, values: Mapping[str, Any]) -> Parameters:
    """The parameters of a run that may start; raises ParameterErrors with all that is wrong.

    What another machine's volumes are is checked there, by the run's first task.
    """
    params = parsed(session, pipeline, values)
    problems = pipeline.steps.check(params) if session.deployment.here else []
    if problems:
        raise ParameterErrors(problems)
    return params


def sets_of(values: Values) -> list[Values]:
    """The sets of parameters that were given, one or a batch.

    As a set goes on from the one before it, what is alike in all need be said in the first only; what is given
    beside the batch goes before all.
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
    try:
        values = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ParameterErrors([f"--params: cannot read {file}: {error}"]) from error
    if not isinstance(values, (dict, list)):
        wrong = (
            f"--params: {file} holds a JSON {type(values).__name__}; give an object of key: value, or a list of them"
        )
        raise ParameterErrors([wrong])
    return values
