"""Presets: named sets of values for a kind of data. Each says where its values are from.

A preset fills in what is not given; whatever else is given goes before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from seuron.errors import ParameterErrors
from seuron.params.json_values import shown


@dataclass(frozen=True)
class Preset:
    """Values of some of a pipeline's parameters, what data they are for, and where they are from."""

    data: str
    source: str
    values: Mapping[str, Any]


def preset_values(name: str, presets: Mapping[str, Preset]) -> dict[str, Any]:
    """The values of a preset; raises ParameterErrors with the names that there are."""
    if name in presets:
        return dict(presets[name].values)
    near = get_close_matches(name, presets, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(presets) or 'none'}"
    raise ParameterErrors([f"`preset`: no preset is called {shown(name)}; {hint}"])


def chosen_preset(values: Mapping[str, Any], presets: Mapping[str, Preset]) -> tuple[dict[str, Any], list[str]]:
    """As `with_preset`; where the preset is wrong, the values without one, and what is wrong with it.

    For checks that go on, so that a user hears of everything at once.
    """
    try:
        return with_preset(values, presets), []
    except ParameterErrors as error:
        return {name: value for name, value in values.items() if name != "preset"}, list(error.problems)


def with_preset(values: Mapping[str, Any], presets: Mapping[str, Preset]) -> dict[str, Any]:
    """Values with those of the preset that they name under `preset` below them; the name itself is taken out."""
    rest = {name: value for name, value in values.items() if name != "preset"}
    named = values.get("preset")
    if named is None or named == "":
        return rest
    if not isinstance(named, str):
        raise ParameterErrors([f"`preset`: got {shown(named)}; give the name of one: {', '.join(presets) or 'none'}"])
    return preset_values(named, presets) | rest
