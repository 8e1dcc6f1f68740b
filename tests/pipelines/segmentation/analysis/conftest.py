"""Finished runs on one small volume, with and without chunks and ground truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_runs import RULES, THRESHOLD, blobs, make_run, smooth, store
from strategies import CLASS_NAMES, semantic_labels

import abiss_py
from seuron.engine.run import Run


@pytest.fixture(scope="session")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> tuple[NDArray[np.uint8], NDArray[np.uint32], str, str]:
    """Affinities and ground truth: the arrays, and where they are stored."""
    folder, shape = tmp_path_factory.mktemp("volumes"), (56, 48, 40)
    affinities, truth = smooth(shape, 3), blobs(shape, 4)
    return affinities, truth, store(folder / "affinities", affinities), store(folder / "truth", truth)


@pytest.fixture(scope="session")
def chunked(volumes: tuple[Any, Any, str, str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in many chunks and three tiers, with ground truth. Tests do not change it."""
    run = make_run(tmp_path_factory.mktemp("chunked"), *volumes[2:], chunk_size=(12, 24, 20), batch_chunks=1)
    assert len(run.plan.stage("agglomeration").tiers) == 3
    return run


#: Rules of which both forbid some contacts of the volume.
CONSTRAINTS = [
    {"rule": "semantic", "name": "classes", "below": 0.8, "evidence": 20, "dominance": 0.6},
    {"rule": "size", "name": "dumbbell", "below": 0.7, "smaller_over": 100, "sum_over": 400},
]


@pytest.fixture(scope="session")
def semantic(volumes: tuple[Any, Any, str, str]) -> NDArray[np.uint8]:
    return semantic_labels(volumes[0].shape[:3], 5)


@pytest.fixture(scope="session")
def ruled(
    volumes: tuple[Any, Any, str, str], semantic: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A run with rules, in chunks, with ground truth. Tests do not change it."""
    folder = tmp_path_factory.mktemp("ruled")
    return make_run(
        folder / "run",
        *volumes[2:],
        chunk_size=(28, 24, 40),
        batch_chunks=1,
        constraints=CONSTRAINTS,
        semantic=store(folder / "semantic", semantic.astype(np.uint32)),
        semantic_classes=CLASS_NAMES,
    )


@pytest.fixture(scope="session")
def ruled_whole(volumes: tuple[Any, Any, str, str], semantic: NDArray[np.uint8]) -> abiss_py.Segmentation:
    """What `ruled` has to be: the segmentation of the whole array by its rules."""
    return abiss_py.segment(
        volumes[0],
        **RULES,
        threshold=THRESHOLD,
        constraints=abiss_py.parse_constraints(CONSTRAINTS),
        semantic=semantic,
        class_names=CLASS_NAMES,
    )


@pytest.fixture(scope="session")
def whole(volumes: tuple[Any, Any, str, str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same in one chunk, without ground truth. Tests do not change it."""
    return make_run(tmp_path_factory.mktemp("whole"), volumes[2], None)
