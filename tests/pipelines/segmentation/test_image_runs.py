"""From an image to a scored segmentation: synthetic tissue, and FIB-25 where it is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.metrics import variation_of_information
from small_nets import save_small_net

from seuron.box import Box
from seuron.cli.data import write_synthetic
from seuron.engine.execute import run_task
from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.engine.setup import with_fingerprints, write_run
from seuron.evaluation import evaluate_volumes, read_scores
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.volumes import open_volume
from seuron.volumes.volume_import import import_volume

FIB25 = Path(__file__).parents[4] / "shared" / "data" / "fib25_train2_z000-166.h5"
#: The part of FIB-25 that neither the net nor any threshold has seen.
HELD_OUT = Box((40, 40, 130), (168, 168, 166))


@pytest.fixture(scope="module")
def tissue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tissue")
    write_synthetic(str(folder), (80, 72, 64), seed=5)
    save_small_net(folder / "small.safetensors")
    return folder


def run(tissue: Path, output: Path, **changes: object) -> Run:
    settings = {"image": str(tissue / "image"), "ground_truth": str(tissue / "labels"), "block_size": (32, 32, 32)}
    # fp32 also runs fast on machines that emulate bf16.
    return run_local(SegmentationParams(**{**settings, "output": str(output), "precision": "fp32", **changes}))  # type: ignore[arg-type]


def test_chunks_change_neither_affinities_nor_segments(tissue: Path, tmp_path: Path) -> None:
    """One task and many tasks of the net, chunks that blocks do not divide: the same bytes in every layer."""
    whole = run(tissue, tmp_path / "whole")
    parts = run(tissue, tmp_path / "parts", chunk_size=(50, 33, 30), batch_chunks=1)
    assert len(parts.plan.stage("affinities").tasks) > 1
    for layer in ("affinities", "supervoxels", "segmentation"):
        first, second = (open_volume(r.layer(layer)).read(r.facts.box) for r in (whole, parts))
        assert first.tobytes() == second.tobytes(), layer

    found = read_scores(whole.storage)
    assert found == read_scores(parts.storage) == evaluate_volumes(whole.layer("segmentation"), str(tissue / "labels"))
    assert found is not None
    truth = open_volume(str(tissue / "labels")).read(whole.facts.box)
    split_merge = variation_of_information(truth.ravel(), first.ravel(), ignore_labels=(0,))
    np.testing.assert_allclose((found.voi_split, found.voi_merge), split_merge, rtol=1e-9)
    assert found.adapted_rand_error < 0.35, "the shipped net does not find these cells any more"


def test_a_part_of_an_image_has_the_affinities_of_the_whole(tissue: Path, tmp_path: Path) -> None:
    """A voxel's affinities do not depend on the run's box: the net sees the image around it."""
    box = (20, 17, 9, 70, 62, 50)
    small = {"model": str(tissue / "small.safetensors"), "patch_size": (24, 24, 24), "patch_overlap": (8, 8, 8)}
    whole = run(tissue, tmp_path / "whole", **small)
    part = run(tissue, tmp_path / "part", bbox=box, **small)
    first, second = (open_volume(r.layer("affinities")).read(part.facts.box) for r in (whole, part))
    # The grey scale is measured on the run's own box, so the two may differ by that much and no more.
    assert np.abs(first.astype(int) - second.astype(int)).mean() < 2


def test_an_image_run_that_grows_predicts_what_is_new(tissue: Path, tmp_path: Path) -> None:
    """The net runs where the box has grown, with the grey scale of the first start; the result is a full run's."""
    cut: dict[str, Any] = {"chunk_size": (32, 32, 16), "patch_size": (16, 16, 16), "patch_overlap": (4, 4, 4)}
    cut |= {"model": str(tissue / "small.safetensors"), "batch_chunks": 1, "block_size": (16, 16, 16)}
    first = run(tissue, tmp_path / "out", bbox=(0, 0, 0, 32, 32, 48), **cut)
    before = {record.task_id: record for record in first.records() if record.stage == "affinities"}
    grown = run(tissue, tmp_path / "out", bbox=(0, 0, 0, 32, 32, 64), **cut)
    kept = {task for task, record in before.items() if grown.record(task) == record}
    assert {task for task in before if task.endswith("_0")} <= kept < set(before)
    old, new = first.facts.prediction, grown.facts.prediction
    assert old is not None
    assert new is not None
    assert (new.grey_mean, new.cell, new.patch_size) == (old.grey_mean, old.cell, old.patch_size)

    elsewhere = grown.params.model_copy(update={"output": str(tmp_path / "fresh")})
    fresh = write_run(with_fingerprints(elsewhere, grown.facts))
    for task in fresh.plan.tasks:
        run_task(fresh, task.id)
    for layer in ("affinities", "supervoxels", "segmentation"):
        one, other = (blocks_of(r, layer) for r in (grown, fresh))
        assert one == other, layer
    done = {record.task_id: record for record in grown.records() if record.stage == "affinities"}
    again = run(tissue, tmp_path / "out", bbox=(0, 0, 0, 32, 32, 64), **cut, watershed_size=150)
    assert {task: again.record(task) for task in done} == done


def blocks_of(run: Run, layer: str) -> dict[str, bytes]:
    """Every file of a layer, all scales, by its name."""
    folder = Path(run.layer(layer).removeprefix("file://"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.skipif(not FIB25.exists(), reason=f"the shared data are not here: {FIB25.name}")
def test_real_tissue_is_segmented(tmp_path: Path) -> None:
    """FIB-25, imported and run as a user would, on the part that was held out of everything."""
    image = import_volume(f"{FIB25}:raw", str(tmp_path / "image"), (10, 10, 10))
    truth = import_volume(f"{FIB25}:labels/neuron_ids", str(tmp_path / "truth"), (10, 10, 10))
    done = run_local(
        SegmentationParams(
            image=image.path, ground_truth=truth.path, output=str(tmp_path / "run"), bbox=HELD_OUT.corners
        )
    )
    found = read_scores(done.storage)
    assert found is not None
    assert found.voxels > 0.99 * HELD_OUT.voxels
    assert found.adapted_rand_error < 0.25
    assert found.voi_split + found.voi_merge < 1.7
