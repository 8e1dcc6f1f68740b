"""The trigger form says the same as the parameter model."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator
from pydantic_core import PydanticUndefined

from seuron.params import SegmentationParams, parse_parameters


def test_the_form_has_the_models_fields_in_order(parsed: dict[str, Any]) -> None:
    """No field is missing, added or elsewhere."""
    assert list(parsed["schemas"]) == list(SegmentationParams.model_fields)


def test_the_form_shows_what_the_model_documents(parsed: dict[str, Any]) -> None:
    """Sections are groups; help texts are descriptions with their unit; examples are kept."""
    for name, field in SegmentationParams.model_fields.items():
        schema, extra = parsed["schemas"][name], field.json_schema_extra
        assert isinstance(extra, dict)
        assert schema["section"] == extra["group"]
        unit = f" ({extra['unit']})" if extra["unit"] else ""
        assert schema["description_md"] == f"{field.description}{unit}"
        assert schema.get("examples", []) == (field.examples or [])


def test_the_forms_defaults_are_the_models(parsed: dict[str, Any]) -> None:
    """A form that is left alone, but for what is required, gives the model's defaults."""
    required = {"output": "/run", "image": "/image"}
    left_alone = {name: value for name, value in parsed["defaults"].items() if name not in required}
    assert parse_parameters(SegmentationParams, {**left_alone, **required}) == SegmentationParams(**required)
    for name, field in SegmentationParams.model_fields.items():
        if field.default is PydanticUndefined:
            assert name not in parsed["defaults"]


def test_the_form_takes_what_it_offers(parsed: dict[str, Any]) -> None:
    """Every default passes its own field's schema."""
    for name, value in parsed["defaults"].items():
        Draft202012Validator(parsed["schemas"][name]).validate(value)


def test_the_form_takes_a_run_written_as_json(parsed: dict[str, Any]) -> None:
    """What `seuron run` submits, lists as JSON, passes the form's schemas."""
    params = SegmentationParams(image="/image", output="/run", bbox=(0, 0, 0, 64, 64, 64))
    for name, value in params.model_dump(mode="json").items():
        Draft202012Validator(parsed["schemas"][name]).validate(value)


def test_the_form_refuses_what_the_model_refuses(parsed: dict[str, Any]) -> None:
    """Typing errors are caught in the form: wrong counts, words for numbers, values off the scale."""
    wrong = {"chunk_size": "64,64", "bbox": "0,0,0,1", "watershed_high": 1.5, "mip": -1, "missing_blocks": "maybe"}
    for name, value in wrong.items():
        assert not Draft202012Validator(parsed["schemas"][name]).is_valid(value), name
