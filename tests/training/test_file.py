"""Training files: what is wrong with one is named at once, and its paths are relative to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_trainings import tiny_training, write_training

from seuron.errors import ParameterErrors
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.training.file import ThresholdChoice, read_training_file


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """A data set moves with its training file."""
    document = 'out = "a.safetensors"\n[[volumes]]\nimage = "c.h5:raw"\nlabels = "gs://bucket/labels"\n'
    found = read_training_file(write_training(tmp_path / "deep", document))
    assert found.out == str(tmp_path / "deep" / "a.safetensors")
    assert found.volumes[0].image == str(tmp_path / "deep" / "c.h5:raw")
    assert found.volumes[0].labels == "gs://bucket/labels"
    assert found.folder == tmp_path / "deep" / "a.training"


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    document = """
out = "a.pt"
volume = []
[[volumes]]
image = "only"
[schedule]
steps = 0
learning_rat = 1
[augmentation]
lost = 0.7
missing = 0.7
"""
    with pytest.raises(ParameterErrors) as refused:
        read_training_file(write_training(tmp_path, document))
    text = str(refused.value)
    for words in (
        "`volume` is not known; did you mean `volumes`?",
        "`volumes[1]`: give `image` and `labels`, or `synthetic`",
        "`schedule.steps`",
        "did you mean `learning_rate`?",
        "`augmentation`: misalignment, missing, misaligned_missing, lost, lost_missing exclude one another",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("table", "values", "words"),
    [
        ("out", "a.onnx", "models are written as .safetensors"),
        ("out", "_a.safetensors", "begins with a letter or a digit"),
        ("schedule", {"patch_size": [17, 16, 16]}, "17 voxels along x; this net takes multiples of 2"),
        ("network", {"offsets": [3, 1]}, "the first of `offsets`"),
        ("network", {"section_offsets": [1]}, "must be 2 distances"),
        ("network", {"flat_levels": 2}, "2 widths have one pooling fewer"),
        ("network", {"kind": "residual-unet", "flat_levels": 1}, "never pools along z"),
        ("thresholds", {"watershed_high": [0.005]}, "must be above `watershed_low`"),
    ],
)
def test_combinations_that_cannot_be_are_refused(tmp_path: Path, table: str, values: object, words: str) -> None:
    changes = {table: values}
    with pytest.raises(ParameterErrors, match=words):
        tiny_training(**{"out": tmp_path / "a.safetensors", **changes})


def test_other_thresholds_are_a_runs_own() -> None:
    """What is not chosen on the validation part is what a run has, so that the scores are a run's."""
    choice = ThresholdChoice()
    for name in ("watershed_low", "watershed_size", "watershed_dust"):
        assert getattr(choice, name) == SegmentationParams.model_fields[name].default
    assert SegmentationParams.model_fields["watershed_high"].default in choice.watershed_high
    assert SegmentationParams.model_fields["agglomeration_threshold"].default in choice.agglomeration
