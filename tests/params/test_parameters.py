"""Parameters: every problem is said at once, in words that help."""

from __future__ import annotations

from typing import Any, get_type_hints

import pytest
from pydantic import ValidationError

from seuron.errors import ParameterErrors
from seuron.params import parse_parameters, parse_settings
from seuron.pipelines.segmentation import PIPELINE
from seuron.pipelines.segmentation.params import Path, SegmentationParams

GOOD: dict[str, Any] = {"affinities": "a", "output": "o"}


def problems(**changes: Any) -> tuple[str, ...]:
    with pytest.raises(ParameterErrors) as error:
        parse_parameters(SegmentationParams, {**GOOD, **changes})
    return error.value.problems


def test_all_problems_come_at_once() -> None:
    """Unknown names, wrong values and wrong combinations are told in one error."""
    found = problems(watershed_low=0.5, watershed_high=0.2, chunksize=3, bbox="1,2,3", image="i")
    assert len(found) == 4
    for words in ("did you mean `chunk_size`?", "expected 6 numbers", "got both", "`watershed_low` must be below"):
        assert any(words in problem for problem in found), words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"affinities": None}, "got neither"),
        ({"bbox": (5, 0, 0, 5, 9, 9)}, "`bbox` is empty"),
        ({"batch_chunks": 3}, "power of two"),
        ({"patch_overlap": (60, 4, 4)}, "more than half"),
        ({"chunk_size": (64, 64, 0)}, "greater than 0"),
        ({"watershed_high": 1.5}, "less than or equal to 1"),
        ({"agglomeration_threshold": 1e-12}, "2^-30"),
        ({"missing_blocks": "ignore"}, "'error' or 'zero'"),
    ],
)
def test_each_problem_says_what_is_allowed(changes: dict[str, Any], words: str) -> None:
    """What is wrong by itself or with another value is refused by name."""
    (found,) = problems(**changes)
    assert words in found


def test_a_missing_output_is_said_plainly() -> None:
    """Nobody reads pydantic's own words."""
    with pytest.raises(ParameterErrors, match="`output` is missing"):
        parse_parameters(SegmentationParams, {"affinities": "a"})


def test_forms_and_shells_send_text() -> None:
    """Numbers come as text, as JSON and as lists; blank means left out."""
    for text in ("1,2,3,4,5,6", "1 2 3 4 5 6", "[1, 2, 3, 4, 5, 6]", [1, 2, 3, 4, 5, 6]):
        assert parse_parameters(SegmentationParams, {**GOOD, "bbox": text}).bbox == (1, 2, 3, 4, 5, 6)
    blank = parse_parameters(SegmentationParams, {**GOOD, "bbox": "", "ground_truth": " ", "image": ""})
    assert (blank.bbox, blank.ground_truth, blank.image) == (None, None, None)


def test_settings_are_json_or_text() -> None:
    """`key=value` words become values; what is no setting is named."""
    assert parse_settings(["a=1", "b=[1,2]", "c=x=y", "d=file:///p", "e=true"]) == {
        "a": 1,
        "b": [1, 2],
        "c": "x=y",
        "d": "file:///p",
        "e": True,
    }
    with pytest.raises(ParameterErrors, match="`chunk_size` is not a setting"):
        parse_settings(["chunk_size"])


def test_parameters_are_frozen() -> None:
    """A run's parameters cannot change under it."""
    params = parse_parameters(SegmentationParams, GOOD)
    with pytest.raises(ValidationError):
        params.mip = 3  # type: ignore[misc]


def test_every_parameter_explains_itself() -> None:
    """The form, the command line and the docs are made of these."""
    for name, field in SegmentationParams.model_fields.items():
        assert field.description, name
        assert isinstance(field.json_schema_extra, dict), name
        assert field.json_schema_extra["group"], name


def test_a_frame_holds_the_box() -> None:
    """Empty, huge, and too small frames are refused by name; one that holds the box is taken."""
    box = (0, 0, 0, 10, 10, 10)
    for frame, words in (
        ((0, 0, 0, 10, 10, 0), "`frame` is empty"),
        ((0, 0, 0, 2**21, 2**21, 2**20), "2\\^61"),
        ((1, 0, 0, 10, 10, 10), "must hold `bbox`"),
    ):
        with pytest.raises(ParameterErrors, match=words):
            parse_parameters(SegmentationParams, {"image": "i", "output": "o", "bbox": box, "frame": frame})
    assert parse_parameters(SegmentationParams, {"image": "i", "output": "o", "bbox": box, "frame": box}).frame == box


def test_the_command_line_makes_every_path_absolute() -> None:
    """Tasks run in another folder: no parameter that is a path may stay relative to the caller's."""
    hints = get_type_hints(SegmentationParams, include_extras=True)
    assert {name for name, hint in hints.items() if hint == Path} <= set(PIPELINE.paths)
    assert hints["semantic"] == Path


def test_rules_and_class_names_come_as_text_or_lists() -> None:
    """Forms send text, JSON files lists: both give the same parameters, and these their rules."""
    rule = {"rule": "size", "name": "dumbbell", "smaller_over": 5}
    given = {"constraints": [rule], "semantic": "s", "semantic_classes": ["axon", "glia"]}
    params = parse_parameters(SegmentationParams, {**GOOD, **given})
    assert params == parse_parameters(SegmentationParams, {**GOOD, **params.model_dump(mode="json")})
    assert [rule.name for rule in params.rules] == ["dumbbell"]
    assert params.class_names == ("axon", "glia")
    assert parse_parameters(SegmentationParams, {**GOOD, "constraints": " "}).rules == ()
