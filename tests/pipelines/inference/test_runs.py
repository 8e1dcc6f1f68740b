"""Inference runs with small nets: the same bytes for every chunking, each patch once, masks, kills."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_nets import save_small_net

from seuron.box import Box
from seuron.engine.execute import run_task
from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.engine.setup import prepare_run
from seuron.errors import ParameterErrors
from seuron.nets.engines import load_engine
from seuron.nets.normalisation import Normalisation
from seuron.nets.predict import predict_volume, to_uint8
from seuron.params import parse_parameters
from seuron.pipelines.inference import PIPELINE
from seuron.pipelines.inference.params import InferenceParams
from seuron.volumes import create_volume, open_volume

PROJECT = Path(__file__).parents[3]
CORNER, SHAPE = (3, -5, 7), (44, 36, 30)
VOXEL = (8.0, 8.0, 8.0)
SMALL: dict[str, Any] = {
    "patch_size": (12, 12, 12),
    "patch_overlap": (4, 4, 4),
    "block_size": (8, 8, 8),
    "precision": "fp32",
    "engine": "torch",
    "grey_mean": 120.0,
    "grey_std": 40.0,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image, masks and a net."""
    folder = tmp_path_factory.mktemp("inputs")
    save_small_net(folder / "small.safetensors")
    box = Box.from_shape(CORNER, SHAPE)
    image = np.random.default_rng(1).integers(1, 255, SHAPE).astype(np.uint8)
    store(folder / "image", box, VOXEL, image)
    mask = np.zeros((6, 20, 20), np.uint8)
    mask[:4] = 1
    coarse = Box.from_shape((0, -3, 0), mask.shape)
    store(folder / "mask", coarse, (32.0, 16.0, 16.0), mask)
    return folder


def store(path: Path, box: Box, voxel: tuple[float, float, float], voxels: np.ndarray) -> None:
    create_volume(str(path), box, voxel, dtype="uint8", block_size=(16, 16, 16), pyramid=False).write(box, voxels)


def parameters(folder: Path, output: Path, **changes: Any) -> InferenceParams:
    files = {"image": str(folder / "image"), "model": str(folder / "small.safetensors")}
    values = {**files, "output": str(output), **SMALL}
    return parse_parameters(InferenceParams, {**values, **changes})


def read(run: Run) -> np.ndarray:
    return open_volume(run.layer("affinities")).read(run.facts.box)


def total(run: Run, name: str) -> float:
    return sum(record.counts.get(name, 0) for record in run.records() if record.stage == "predict")


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_local(parameters(folder, tmp_path_factory.mktemp("whole") / "run"))


def test_a_run_writes_what_the_net_says(whole: Run, folder: Path) -> None:
    """From volume to volume, the bytes are those of the net over the image in memory."""
    engine = load_engine(str(folder / "small.safetensors"), precision="fp32", device="cpu")
    image = open_volume(str(folder / "image")).read(whole.facts.box)[..., 0]
    sizes = (SMALL["patch_size"], SMALL["patch_overlap"])
    expected = to_uint8(predict_volume(engine, image, Normalisation(120.0, 40.0), *sizes))
    np.testing.assert_array_equal(read(whole), expected)
    assert expected.min() < 50
    assert expected.max() > 200


@pytest.mark.parametrize(
    ("chunk", "block"), [((16, 16, 16), (8, 8, 8)), ((8, 24, 8), (8, 8, 8)), ((20, 40, 10), (5, 7, 10))]
)
def test_chunks_change_no_byte_and_each_patch_is_computed_once(
    whole: Run, folder: Path, tmp_path: Path, chunk: tuple[int, ...], block: tuple[int, ...]
) -> None:
    """Cells larger and smaller than patches: the bytes of one task, and the net's work of one task."""
    parts = run_local(parameters(folder, tmp_path / "run", chunk_size=chunk, block_size=block))
    assert len(parts.plan.stage("predict").tiers[0]) > 3
    assert read(parts).tobytes() == read(whole).tobytes()
    assert total(parts, "patches") == total(whole, "patches") > 8
    assert total(parts, "net_voxels") == total(whole, "net_voxels")
    assert total(parts, "voxels") == total(whole, "voxels") == whole.facts.box.voxels


@pytest.mark.parametrize(("layer_format", "shard_above"), [("ome-zarr", 0), ("ome-zarr", 20), ("precomputed", 20)])
def test_layers_have_the_same_voxels_in_both_formats_and_in_shards(
    whole: Run, folder: Path, tmp_path: Path, layer_format: str, shard_above: int
) -> None:
    """Cells are whole shards, so several tasks never write one file; every scale is that of precomputed blocks."""
    made = run_local(
        parameters(
            folder, tmp_path / "run", layer_format=layer_format, shard_above=shard_above, chunk_size=(16, 16, 16)
        )
    )
    assert len(made.plan.stage("predict").tiers[0]) > 3
    for scale in range(whole.facts.scales):
        first, second = (open_volume(run.layer("affinities"), scale) for run in (whole, made))
        np.testing.assert_array_equal(second.read(second.box), first.read(first.box))
    assert open_volume(made.layer("affinities")).is_sharded == bool(shard_above)


#: A run that ends by SIGKILL right behind the N-th table that a task hands on.
KILLED_RUN = """
import os, signal, sys
from seuron.engine.local import run_local
from seuron.params import parse_parameters
from seuron.pipelines.inference.params import InferenceParams
from seuron.pipelines.stages.predict import work

write, left = work.write_groups, int(sys.argv[2])

def write_and_die(*given, **named):
    global left
    done, left = write(*given, **named), left - 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return done

work.write_groups = write_and_die
run_local(InferenceParams.model_validate_json(sys.argv[1]))
"""


def test_kills_in_the_middle_of_a_hand_over_change_nothing(whole: Run, folder: Path, tmp_path: Path) -> None:
    """SIGKILL behind a table that is handed on, where the task's others are not written; a start resumes.

    A second delivery of a task of the net, behind those that add up what it handed on, changes nothing either.
    """
    params = parameters(folder, tmp_path / "run", chunk_size=(16, 16, 16))
    for tables in (2, 6):
        command = [sys.executable, "-c", KILLED_RUN, params.model_dump_json(), str(tables)]
        died = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400, cwd=PROJECT)
        assert died.returncode == -signal.SIGKILL, died.stderr
    run = run_local(params)
    assert read(run).tobytes() == read(whole).tobytes()

    first = run.plan.stage("predict").tiers[0][0]
    run.storage.delete([f"tasks/{first.id}.json"])
    assert run_task(Run.open(run.output), first.id).outcome == "computed"
    assert read(run).tobytes() == read(whole).tobytes()


def test_a_part_of_an_image_is_that_of_the_whole(whole: Run, folder: Path, tmp_path: Path) -> None:
    """The net sees the image around the run's box, and patches lie where they lie in the whole."""
    box = Box((11, 2, 9), (40, 27, 30))
    part = run_local(parameters(folder, tmp_path / "run", bbox=box.corners, chunk_size=(16, 16, 16)))
    np.testing.assert_array_equal(read(part), read(whole)[box.within(whole.facts.box)])


def test_a_box_that_grows_keeps_what_no_new_patch_reaches(folder: Path, tmp_path: Path) -> None:
    """Tasks away from the face that moved are not done again, and the result is that of a run from nothing."""
    chunks = {"chunk_size": (16, 16, 16)}
    x, y, z = (a + n for a, n in zip(CORNER, SHAPE, strict=True))
    small = run_local(parameters(folder, tmp_path / "run", bbox=(*CORNER, x - 8, y, z), **chunks))
    before = {task.id: small.record(task.id) for task in small.plan.stage("predict").tiers[0]}
    grown = run_local(parameters(folder, tmp_path / "run", bbox=(*CORNER, x, y, z), **chunks))
    fresh = run_local(parameters(folder, tmp_path / "fresh", **chunks))
    assert read(grown).tobytes() == read(fresh).tobytes()
    kept = [task for task, record in before.items() if grown.record(task) == record]
    assert 0 < len(kept) < len(before)


def test_masks_at_their_own_resolution(whole: Run, folder: Path, tmp_path: Path) -> None:
    """A result is 0 where the output mask says so; patches that the image mask covers are not computed."""
    mask = str(folder / "mask")
    kept = slice(0, 16 - CORNER[0])  # four voxels of the mask, four times as long as the image's
    cut = run_local(parameters(folder, tmp_path / "output", output_mask=mask, chunk_size=(16, 16, 16)))
    expected = read(whole)
    expected[kept.stop : 24 - CORNER[0]] = 0
    np.testing.assert_array_equal(read(cut), expected)

    inverted = run_local(
        parameters(folder, tmp_path / "input", image_mask=mask, invert_image_mask=True, chunk_size=(16, 16, 16))
    )
    one = run_local(parameters(folder, tmp_path / "one", image_mask=mask, invert_image_mask=True))
    assert read(inverted).tobytes() == read(one).tobytes()
    assert total(one, "masked_patches") > 0
    assert total(one, "masked_patches") + total(one, "patches") + total(one, "even_patches") == total(whole, "patches")


def test_five_sections_are_cheap(folder: Path, tmp_path: Path) -> None:
    """A volume thinner than the patch does not pay for the patch's height."""
    box = Box((0, 0, 0), (40, 40, 5))
    store(tmp_path / "thin", box, VOXEL, np.random.default_rng(2).integers(1, 255, box.shape).astype(np.uint8))
    run = run_local(parameters(folder, tmp_path / "run", image=str(tmp_path / "thin")))
    assert run.facts.prediction.patch_size[2] == 6
    assert total(run, "net_voxels") < 3 * box.voxels


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"outputs": "affinitys"}, "did you mean affinities"),
        ({"patch_size": (13, 12, 12)}, "13 voxels along x; allowed are 2, 4, 6"),
        ({"myelin_threshold": 0.5}, "no channel 'myelin'"),
        ({"image_mask": "@mask", "image_mask_mip": 3}, "image_mask"),
        ({"output_mask": "@small.safetensors"}, "`output_mask`"),
        ({"image_mask": "@image", "mip": 0, "output_mask": "@odd"}, "whole multiples"),
        ({"invert_image_mask": True}, "no `image_mask`"),
        ({"bbox": (0, 0, 0, 900, 9, 9)}, "`bbox`"),
        ({"model": "@nothing"}, "`model`"),
        ({"normalisation": "sections"}, "`normalisation`"),
        ({"patch_overlap": (9, 4, 4)}, "more than half"),
    ],
)
def test_what_is_wrong_is_named_before_the_first_task(
    folder: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    """One sentence that says what to change, and nothing is written."""
    if not (folder / "odd").exists():
        store(folder / "odd", Box((0, 0, 0), (9, 9, 9)), (20.0, 8.0, 8.0), np.ones((9, 9, 9), np.uint8))
    given = {k: str(folder / v[1:]) if isinstance(v, str) and v.startswith("@") else v for k, v in changes.items()}
    with pytest.raises(ParameterErrors, match=words):
        prepare_run(parameters(folder, tmp_path / "run", **given))
    assert not (tmp_path / "run").exists()


def test_a_scale_for_each_section_is_measured_once(folder: Path, tmp_path: Path) -> None:
    """Sections whose contrast differs are on one scale, which the run's facts hold."""
    box = Box((0, 0, 0), (40, 40, 12))
    grey = np.random.default_rng(5).integers(60, 180, box.shape).astype(np.uint8)
    grey[:, :, 5] = grey[:, :, 5] // 2
    store(tmp_path / "sections", box, VOXEL, grey)
    values = {"image": str(tmp_path / "sections"), "normalisation": "sections", "grey_mean": None, "grey_std": None}
    run = run_local(parameters(folder, tmp_path / "run", **values))
    scales = run.facts.prediction.sections
    assert len(scales) == 12
    assert scales[5][0] == pytest.approx(scales[4][0] / 2, rel=0.05)
    parts = run_local(parameters(folder, tmp_path / "parts", **values, chunk_size=(16, 16, 8)))
    assert read(parts).tobytes() == read(run).tobytes()


def test_augmented_runs_are_the_same_for_every_chunking(folder: Path, tmp_path: Path) -> None:
    """The mean over sixteen views is a sum of integers too."""
    box = (*CORNER, 20, 12, 20)
    runs = [
        run_local(parameters(folder, tmp_path / str(chunk), bbox=box, augmentation="all", chunk_size=(chunk,) * 3))
        for chunk in (8, 64)
    ]
    assert read(runs[0]).tobytes() == read(runs[1]).tobytes()
    assert total(runs[0], "net_voxels") == 16 * total(runs[0], "patches") * 12**3


def test_the_report_says_how_the_net_worked(whole: Run) -> None:
    """Its share of the time, and how much it computed for a voxel of the result."""
    (section,) = PIPELINE.report(whole)
    assert float(section.figures[0].value) > 0
    assert section.figures[0].note.startswith("Mvox/s a task, ")
    assert "of its time in the net (torch, fp32)" in section.figures[0].note
    assert "voxels for each of the result" in section.sentences[0]
