"""Three small runs whose layers and tables are known to the bit, on input that is made of integers alone.

Random bits of numpy and sums of integers are the same on every machine; filters of floating-point numbers are not.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_runs import store

from seuron.engine.local import run_local
from seuron.engine.run import Run
from seuron.params import parse_parameters
from seuron.pipelines.segmentation import estimates, plan
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.storage.digests import digest_of_array, digest_of_data
from seuron.storage.tables import read_table
from seuron.volumes import open_volume

RULES = [
    {"rule": "size", "name": "dumbbell", "smaller_over": 40, "below": 0.6},
    {
        "rule": "semantic",
        "name": "classes",
        "below": 0.7,
        "evidence": 20,
        "dominance": 0.6,
        "forbidden": [["axon", "dendrite"]],
    },
]
SETTINGS: dict[str, Any] = {
    "block_size": (16, 16, 16),
    "watershed_high": 0.9,
    "watershed_low": 0.1,
    "watershed_size": 10,
    "watershed_dust": 3,
    "agglomeration_threshold": 0.4,
}


def smooth_integers(shape: tuple[int, ...], seed: int, reach: int) -> NDArray[np.int64]:
    """Random integers, summed over boxes of `reach` voxels along the first three axes, from 0 to 255."""
    found = np.random.default_rng(seed).integers(0, 256, shape)
    for axis in range(3):
        found = sum(np.roll(found, step, axis) for step in range(reach))
    low, high = int(found.min()), int(found.max())
    return (found - low) * 255 // (high - low)


def affinities(shape: tuple[int, int, int], seed: int) -> NDArray[np.uint8]:
    """Affinities (X, Y, Z, 3) with blobs of some hundred voxels, full of ties."""
    spread = np.clip((smooth_integers((*shape, 3), seed, 4) - 128) * 5 + 150, 0, 255)
    return np.asfortranarray(spread.astype(np.uint8))


def run(output: Path, **values: Any) -> Run:
    return run_local(parse_parameters(SegmentationParams, {"output": str(output), **SETTINGS, **values}))


def scored_in_many_leaves(folder: Path, _: pytest.MonkeyPatch) -> Run:
    """uint8, two tiers of merges above seams and lines, with ground truth and a pyramid."""
    shape = (62, 58, 30)
    truth = (smooth_integers(shape, 7, 6) // 32).astype(np.uint32)
    source, labels = store(folder / "affinities", affinities(shape, 1)), store(folder / "truth", truth)
    return run(folder / "run", affinities=source, ground_truth=labels, chunk_size=(13, 12, 11), batch_chunks=1)


def constrained_in_rounds(folder: Path, patch: pytest.MonkeyPatch) -> Run:
    """float32, rules and classes, merges that have no room, and two planned rounds before the root."""
    shape = (50, 44, 40)
    classes = (smooth_integers(shape, 9, 8) // 86).astype(np.uint32)
    source = store(folder / "affinities", affinities(shape, 2).astype(np.float32) / np.float32(256))
    semantic = store(folder / "semantic", classes)
    for name, value in (("CONTACT", 60_000), ("OPEN_ID", 0), ("RULE_COLUMN", 0)):
        patch.setattr(estimates, f"BYTES_PER_{name}", value)
    patch.setattr(estimates, "CONTACTS_PER_FACE_VOXEL", 10.0)
    patch.setattr(plan, "MAX_BINS", 8)
    return run(
        folder / "run",
        affinities=source,
        semantic=semantic,
        semantic_classes="axon,dendrite",
        constraints=json.dumps(RULES),
        task_memory=0.51,
        chunk_size=(11, 22, 20),
        batch_chunks=1,
    )


def grown_and_changed(folder: Path, _: pytest.MonkeyPatch) -> Run:
    """A box that grows inside a frame, then another threshold: what two starts kept and a third changed."""
    shape = (64, 48, 48)
    source = store(folder / "affinities", affinities(shape, 3))
    common: dict[str, Any] = {"affinities": source, "chunk_size": (16, 16, 16), "batch_chunks": 2}
    common["frame"] = (10, 20, 30, 74, 68, 78)
    run(folder / "run", bbox=(26, 20, 30, 74, 68, 62), **common)
    run(folder / "run", bbox=(10, 20, 30, 74, 68, 78), **common)
    return run(folder / "run", bbox=(10, 20, 30, 74, 68, 78), **(common | {"agglomeration_threshold": 0.6}))


GOLDEN_RUNS: dict[str, Callable[[Path, pytest.MonkeyPatch], Run]] = {
    made.__name__: made for made in (scored_in_many_leaves, constrained_in_rounds, grown_and_changed)
}


def digests_of(run: Run) -> dict[str, str]:
    """The digests of the voxels of every scale of the run's layers, and of every stage's tables; and the scores."""
    found: dict[str, str] = {}
    for layer, scales in run.facts.scales.items():
        for scale in range(scales):
            volume = open_volume(run.layer(layer), scale)
            found[f"{layer} {scale}"] = digest_of_array(volume.read(volume.box))
    for stage in run.plan.stages:
        for number, tier in enumerate(stage.tiers):
            tables = [[task.index, _tables_of(run, task.id)] for task in tier]
            if any(columns for _, columns in tables):
                found[f"tables of {stage.name}, tier {number}"] = digest_of_data(tables)
    scores = run.storage.get("scores.json")
    if scores is not None:
        found["scores"] = digest_of_data(json.loads(scores))
    return found


def _tables_of(run: Run, task_id: str) -> dict[str, dict[str, str]]:
    """The digest of each column of each table that a task left."""
    if not run.has_tables(task_id):
        return {}
    names = sorted(name for name in run.table_digests(task_id) if "." not in name)
    tables = {name: read_table(run.tables(task_id), name) for name in names}
    tables.pop("sources", None)  # names of tasks, not results
    return {name: {column: digest_of_array(values) for column, values in tables[name].items()} for name in tables}
