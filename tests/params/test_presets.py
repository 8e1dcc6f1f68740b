"""Presets: values for a kind of data that are real parameters, and give way to what is given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seuron.engine.registry import pipeline_named, pipelines
from seuron.errors import ParameterErrors
from seuron.params import parse_parameters
from seuron.params.presets import preset_values, with_preset
from seuron.pipelines.segmentation.presets import PRESETS

GOOD = {"segmentation": {"affinities": "a", "output": "o"}, "inference": {"image": "i", "output": "o"}}


@pytest.mark.parametrize(
    ("pipeline", "name"), [(pipeline.name, name) for pipeline in pipelines() for name in pipeline.presets]
)
def test_a_preset_is_valid_and_says_where_it_is_from(pipeline: str, name: str) -> None:
    """Its values are parameters of its pipeline, and none is made up."""
    preset = pipeline_named(pipeline).presets[name]
    parsed = parse_parameters(pipeline_named(pipeline).params, {**GOOD[pipeline], **preset.values})
    assert parsed.model_dump(mode="json").items() >= dict(preset.values).items()
    assert preset.source
    assert preset.data


@given(
    st.sampled_from(sorted(PRESETS)), st.dictionaries(st.sampled_from(["mip", "chunk_size", "store"]), st.integers())
)
def test_what_is_given_goes_before_the_preset(name: str, values: dict[str, int]) -> None:
    """A preset fills in what is left out, and its name is no parameter."""
    found = with_preset({**values, "preset": name}, PRESETS)
    assert found == {**PRESETS[name].values, **values}
    assert with_preset(values, PRESETS) == values


def test_a_wrong_name_gets_a_suggestion() -> None:
    """A preset that is not there is a wrong parameter."""
    with pytest.raises(ParameterErrors, match="did you mean isotropic-10nm"):
        preset_values("isotropic-8nm", PRESETS)
