"""Small runs, as they lie on disk: cells, their membranes, affinities, labels, task records, scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cells import BOX, RESOLUTION, cells, membranes, write_layer

from seuron.engine.records import TaskRecord
from seuron.engine.run import Run
from seuron.evaluation import evaluate_volumes, write_scores
from seuron.pipelines.segmentation import PIPELINE
from seuron.pipelines.segmentation.facts import VolumeFacts
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.reporting.report import render_report
from seuron.storage import local_folder
from seuron.volumes import open_volume


def _records(run: Run) -> None:
    """Every task of the plan done, two at a time, with counts as the stages make them."""
    counts = {"watershed": {"supervoxels": 20.0, "voxels": 1000.0, "filled_blocks": 0.0}, "labels": {"segments": 40.0}}
    free, origin = [0.0, 0.4], 1_700_000_000.0
    for number, tier in enumerate(run.plan.tiers()):
        start = max(free) + 0.1 if number else 0.0
        free = [max(start, 0.0), max(start, 0.4)]
        for task in tier:
            lane = free.index(min(free))
            seconds = 1 + (hash(task.box) % 7) / 5
            run.finish(
                TaskRecord(
                    task_id=task.id,
                    stage=task.stage,
                    tier=task.tier,
                    key=run.keys.of(task),
                    seconds=seconds,
                    cpu_seconds=0.9 * seconds,
                    peak_bytes=300_000_000 + number,
                    started=origin + free[lane],
                    ended=origin + free[lane] + seconds,
                    host=f"machine:{lane}",
                    counts=counts.get(task.stage, {}),
                )
            )
            free[lane] += seconds


def _facts(scales: int, *own: str) -> VolumeFacts:
    """Facts of a run that writes the label layers, and the layers `own`."""
    return VolumeFacts(BOX, RESOLUTION, "uint8", dict.fromkeys((*own, "supervoxels", "segmentation"), scales))


@pytest.fixture(scope="session")
def layers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The paths of an image, affinities and ground truth, as a user's own would lie anywhere."""
    data = tmp_path_factory.mktemp("own data")
    truth = cells(BOX.shape, 40, 0)
    affinities = membranes(truth)
    noise = np.random.default_rng(1).normal(0, 18, BOX.shape)
    image = np.clip(affinities.min(axis=-1) * 0.55 + 60 + noise, 0, 255).astype(np.uint8)
    return {
        "image": write_layer(data / "image", image, "image"),
        "affinities": write_layer(data / "affinities", affinities, "image"),
        "truth": write_layer(data / "truth", truth, "segmentation"),
    }


def _write_labels(run: Run, truth: str) -> None:
    labels = open_volume(truth).read(BOX)[..., 0]
    grid = np.indices(BOX.shape).sum(axis=0) // 40
    write_layer(Path(local_folder(run.layer("supervoxels")) or ""), labels * 8 + grid.astype(np.uint64), "segmentation")
    merged = np.where(labels < 4, 0, labels // 2)
    write_layer(Path(local_folder(run.layer("segmentation")) or ""), merged.astype(np.uint64), "segmentation")


@pytest.fixture(scope="session")
def scored_run(layers: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run from an image, scored."""
    output = tmp_path_factory.mktemp("runs") / "first run"
    params = SegmentationParams(
        image=layers["image"],
        ground_truth=layers["truth"],
        output=str(output),
        watershed_size=600,
        chunk_size=(64, 64, 64),
    )
    run = Run(PIPELINE, params, _facts(3, "affinities"))
    run.save()
    affinities = open_volume(layers["affinities"]).read(BOX)
    write_layer(output / "affinities", affinities, "image")
    _write_labels(run, layers["truth"])
    _records(run)
    write_scores(run.storage, evaluate_volumes(run.layer("segmentation"), layers["truth"]))
    return run


@pytest.fixture(scope="session")
def scored_html(scored_run: Run) -> str:
    """The report of the finished run; making it once is enough."""
    return render_report(scored_run, "http://127.0.0.1:8750/v/run/")


@pytest.fixture
def affinity_run(layers: dict[str, str], tmp_path: Path) -> Run:
    """A run that has just begun: affinities were given, there is no image and no ground truth."""
    run = Run(
        PIPELINE, SegmentationParams(affinities=layers["affinities"], output=str(tmp_path / "run <b>")), _facts(3)
    )
    run.save()
    return run
