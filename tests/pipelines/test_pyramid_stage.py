"""The stage `pyramid` in a pipeline that is not the segmentation."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toy_pipeline

from seuron.box import Box
from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.engine.setup import parse_run
from seuron.pipelines.stages.pyramid import SCALES_PER_TASK, pyramid_stage
from seuron.volumes import create_volume, open_volume
from seuron.volumes.pyramid import build_pyramid
from seuron.volumes.volume import pyramid_factors

BOX = Box((10, 20, 30), (10 + 1100, 20 + 16, 30 + 16))
NAME = "toy_with_pyramid"


class ToyPyramidParams(toy_pipeline.ToyParams):
    """The toy's parameters, under a name of their own: the registry finds a pipeline by them."""


def layers(params, facts):
    """The toy's, of which `bright` has coarser scales."""
    image, bright = toy_pipeline.layers(params, facts)
    return [image, replace(bright, scales=1 + len(pyramid_factors(facts.box.shape, facts.resolution_nm)))]


THRESHOLD, TOTAL, REPORT = toy_pipeline.PIPELINE.stages
PIPELINE = replace(
    toy_pipeline.PIPELINE,
    name=NAME,
    params=ToyPyramidParams,
    stages=(THRESHOLD, TOTAL, pyramid_stage(layers, parameters=("cell",)), REPORT),
    layers=layers,
)


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, NAME, sys.modules[__name__])
    monkeypatch.setenv("SEURON_PIPELINES", f"{NAME}={NAME}")


@pytest.fixture
def image(tmp_path: Path) -> str:
    volume = create_volume(
        str(tmp_path / "image"), BOX, (8.0, 8.0, 8.0), dtype="uint8", block_size=(16, 16, 16), pyramid=False
    )
    voxels = np.random.default_rng(0).integers(0, 256, BOX.shape).astype(np.uint8)
    volume.write(BOX, np.asfortranarray(voxels))
    return volume.path


def run(image: str, output: Path, **values: object) -> Run:
    return run_local(parse_run(PIPELINE, {"image": image, "output": str(output), "cell": (16, 16, 16), **values}))


def test_every_scale_is_that_of_the_whole_layer(image: str, tmp_path: Path) -> None:
    """Several tiers of several tasks give the scales that are made of the layer at once."""
    found = run(image, tmp_path / "run")
    (bright,) = (layer for layer in found.layers if layer.stage)
    first, *later = found.plan.stage("pyramid").tiers
    assert bright.scales > 1 + SCALES_PER_TASK
    assert len(first) > 1
    assert later
    whole = create_volume(
        str(tmp_path / "whole"), BOX, (8.0, 8.0, 8.0), dtype="uint64", kind="segmentation", block_size=(16, 16, 16)
    )
    whole.write(BOX, open_volume(bright.path).read(BOX))
    build_pyramid(whole)
    for mip in range(bright.scales):
        made, wanted = open_volume(bright.path, mip), open_volume(whole.path, mip)
        assert made.box == wanted.box
        assert np.array_equal(made.read(made.box), wanted.read(wanted.box))


def test_scales_of_what_stays_are_not_made_again(image: str, tmp_path: Path) -> None:
    """A block that changes at one end is pooled again where it is seen, and nowhere else."""
    found = run(image, tmp_path / "run")
    tasks = list(found.plan.stage("pyramid").tiers[0])
    before = [found.record(task.id) for task in tasks]
    block = Box(BOX.minimum, tuple(low + 16 for low in BOX.minimum))
    open_volume(image).write(block, np.full((16, 16, 16, 1), 255, np.uint8, order="F"))
    again = run(image, tmp_path / "run")
    after = [again.record(task.id) for task in tasks]
    assert after[0] != before[0]
    assert after[0].outcome == "computed"
    assert after[1:] == before[1:]
