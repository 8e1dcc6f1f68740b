"""A run takes the thresholds that were chosen when its net was trained, unless it is told otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_nets import save_small_net

import seuron
from seuron.cli.data import write_synthetic
from seuron.commands import execute
from seuron.commands.answers import Session
from seuron.engine.run import Run
from seuron.engine.setup import parse_run, prepare_run
from seuron.nets.models import ChosenThresholds
from seuron.nets.models.own_format import Weights, read_own, write_own
from seuron.pipelines.segmentation import PIPELINE
from seuron.pipelines.segmentation.model_thresholds import THRESHOLDS, with_model_thresholds
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.reporting.report import render_report

CHOSEN = ChosenThresholds(
    watershed_high=0.9,
    watershed_low=0.02,
    watershed_size=100,
    watershed_dust=50,
    agglomeration_threshold=0.4,
    chosen_on=("held 32x32x32 validation",),
    voi_split=0.5,
    voi_merge=0.25,
    adapted_rand_error=0.125,
)


@pytest.fixture(scope="module")
def tissue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image, a net without thresholds, and the same one with some."""
    folder = tmp_path_factory.mktemp("tissue")
    write_synthetic(str(folder), (40, 36, 32), seed=5)
    save_small_net(folder / "plain.safetensors")
    plain = read_own(folder / "plain.safetensors")
    described = plain.description.model_copy(update={"name": "scored", "thresholds": CHOSEN})
    write_own(folder / "scored.safetensors", Weights(described, plain.network, plain.arrays, plain.record))
    return folder


def values(tissue: Path, model: str = "scored", **changes: Any) -> dict[str, Any]:
    net = str(tissue / f"{model}.safetensors")
    return {"image": str(tissue / "image"), "model": net, "output": str(tissue / "run"), "precision": "fp32", **changes}


def thresholds(params: SegmentationParams) -> list[float]:
    return [getattr(params, name) for name in THRESHOLDS]


def test_what_is_left_at_its_default_is_the_models(tissue: Path) -> None:
    """One that was given stays; the others are those of the net, and doing it twice changes nothing."""
    params = parse_run(PIPELINE, values(tissue, watershed_size=7))
    assert thresholds(params) == [0.9, 0.02, 7, 50, 0.4]
    assert with_model_thresholds(params) == params


def test_a_net_without_thresholds_and_a_run_that_refuses_them_have_the_defaults(tissue: Path) -> None:
    defaults = [SegmentationParams.model_fields[name].default for name in THRESHOLDS]
    assert thresholds(parse_run(PIPELINE, values(tissue, "plain"))) == defaults
    assert thresholds(parse_run(PIPELINE, values(tissue, thresholds="given"))) == defaults
    assert thresholds(parse_run(PIPELINE, {"affinities": "/nowhere", "output": "/tmp/x"})) == defaults


def test_thresholds_that_contradict_given_ones_are_left(tissue: Path) -> None:
    """A low that was given above the net's high would be a watershed of nothing."""
    params = parse_run(PIPELINE, values(tissue, watershed_low=0.95))
    assert (params.watershed_low, params.watershed_high) == (0.95, 0.99)


def test_plan_and_report_say_where_they_are_from(tissue: Path) -> None:
    """The frozen run holds the numbers; both pages name the model, the volumes and the scores."""
    words = [f"{name}={value}" for name, value in values(tissue).items()]
    planned = execute(Session(seuron.connect(), who="ada", is_local=True), ["plan", *words]).text
    run = prepare_run(parse_run(PIPELINE, values(tissue)))
    assert thresholds(Run.open(run.output).params) == [0.9, 0.02, 100, 50, 0.4]
    for text in (planned, render_report(run)):
        assert "agglomeration_threshold 0.4" in text
        assert "chosen on held 32x32x32 validation: VOI 0.500 + 0.250" in text
