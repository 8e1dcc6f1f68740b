"""The trigger form says the same as the parameter model."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError, validate
from pydantic_core import PydanticUndefined

from seuron.params import parse_parameters
from seuron.params.run_parameters import fields_by_group
from seuron.pipelines.segmentation import PIPELINE
from seuron.pipelines.segmentation.params import SegmentationParams


def test_the_form_has_the_models_fields_in_order(parsed: dict[str, Any]) -> None:
    """No field is missing, added or elsewhere: the choice of a preset, the pipeline's own, then those of every run."""
    fields = [name for group in fields_by_group(SegmentationParams).values() for name in group]
    assert list(parsed["schemas"]) == ["preset", *fields]
    assert sorted(fields) == sorted(SegmentationParams.model_fields)


def test_the_form_shows_what_the_model_documents(parsed: dict[str, Any]) -> None:
    """Sections are groups; help texts are descriptions with their unit; examples are kept."""
    for name, field in SegmentationParams.model_fields.items():
        schema, extra = parsed["schemas"][name], field.json_schema_extra
        assert isinstance(extra, dict)
        assert schema["section"] == extra["group"]
        unit = f" ({extra['unit']})" if extra["unit"] else ""
        assert schema["description_md"] == f"{field.description}{unit}"
        choices = list(PIPELINE.inspectable) if name == "inspect_after" else []
        assert schema.get("examples", []) == (field.examples or choices)


def test_the_forms_defaults_are_the_models(parsed: dict[str, Any]) -> None:
    """A form that is left alone, but for what is required, gives the model's defaults."""
    required = {"output": "/run", "image": "/image"}
    left_alone = {name: value for name, value in parsed["defaults"].items() if name not in {"preset", *required}}
    assert parse_parameters(SegmentationParams, {**left_alone, **required}) == SegmentationParams(**required)
    for name, field in SegmentationParams.model_fields.items():
        if field.default is PydanticUndefined:
            assert parsed["defaults"][name] is None


def test_the_form_takes_what_it_offers(parsed: dict[str, Any]) -> None:
    """Every default passes its own field's schema, but for those of fields that have to be filled."""
    required = {name for name, field in SegmentationParams.model_fields.items() if field.is_required()}
    for name, value in parsed["defaults"].items() - dict.fromkeys(required).items():
        Draft202012Validator(parsed["schemas"][name]).validate(value)


def test_the_form_takes_a_run_written_as_json(parsed: dict[str, Any]) -> None:
    """What `seuron run` submits, lists as JSON, passes the form's schemas."""
    params = SegmentationParams(image="/image", output="/run", bbox=(0, 0, 0, 64, 64, 64))
    for name, value in params.model_dump(mode="json").items():
        Draft202012Validator(parsed["schemas"][name]).validate(value)


def test_the_form_refuses_what_the_model_refuses(parsed: dict[str, Any]) -> None:
    """Typing errors are caught in the form: wrong counts, words for numbers, values off the scale."""
    wrong = {
        "preset": "no-such",
        "chunk_size": "64,64",
        "bbox": "0,0,0,1",
        "watershed_high": 1.5,
        "mip": -1,
        "missing_blocks": "maybe",
    }
    for name, value in wrong.items():
        assert not Draft202012Validator(parsed["schemas"][name]).is_valid(value), name


def test_the_form_offers_the_presets(parsed: dict[str, Any]) -> None:
    """Every preset by its name, with what data it is for, and none of them chosen."""
    schema = parsed["schemas"]["preset"]
    assert schema["enum"] == ["none", *PIPELINE.presets]
    assert parsed["defaults"]["preset"] == "none"
    assert all(preset.data in schema["description_md"] for preset in PIPELINE.presets.values())


@pytest.fixture
def filled(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
    from seuron.orchestration.form import filled

    def fill(values):
        found, problems = filled(PIPELINE, values)
        assert problems == []
        return found

    return fill


def test_a_preset_fills_what_was_left_at_its_default(parsed: dict[str, Any], filled) -> None:
    """Fields that a person has set stay, all others are the preset's; without a preset nothing changes."""
    form = {**parsed["defaults"], "image": "/image", "output": "/run", "watershed_dust": 7}
    plain = parse_parameters(SegmentationParams, filled(form))
    assert plain == SegmentationParams(image="/image", output="/run", watershed_dust=7)
    for name, preset in PIPELINE.presets.items():
        made = parse_parameters(SegmentationParams, filled({**form, "preset": name}))
        expected = {**preset.values, "image": "/image", "output": "/run", "watershed_dust": 7}
        assert made == parse_parameters(SegmentationParams, expected)


def test_airflow_refuses_only_what_it_cannot_deliver(parsed: dict[str, Any]) -> None:
    """Airflow named the first of seven wrong values and no other: now it takes them all, for `prepare` to name."""
    wrong = {
        "preset": "no-such",
        "chunk_size": "64,64",
        "bbox": [0, 0, 0, 1],
        "watershed_high": 1.5,
        "mip": True,
        "missing_blocks": "maybe",
        "output": None,
        "inspect_after": {"a": 1},
    }
    for name, value in wrong.items():
        validate(value, parsed["schemas"][name])
    for name, value in {"mip": 2**64, "bbox": [0, 0, 0, 1, 1, 2**70], "constraints": [{"evidence": 2**65}]}.items():
        with pytest.raises(ValidationError, match="greater than the maximum"):  # no task could be handed it
            validate(value, parsed["schemas"][name])
