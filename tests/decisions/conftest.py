"""Finished runs on one small volume, with and without chunks and ground truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_runs import blobs, make_run, smooth, store

from seuron.runs import Run


@pytest.fixture(scope="session")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> tuple[NDArray[np.uint8], NDArray[np.uint32], str, str]:
    """Affinities and ground truth: the arrays, and where they are stored."""
    folder, shape = tmp_path_factory.mktemp("volumes"), (56, 48, 40)
    affinities, truth = smooth(shape, 3), blobs(shape, 4)
    return affinities, truth, store(folder / "affinities", affinities), store(folder / "truth", truth)


@pytest.fixture(scope="session")
def chunked(volumes: tuple[Any, Any, str, str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in many chunks and three tiers, with ground truth. Tests do not change it."""
    run = make_run(tmp_path_factory.mktemp("chunked"), *volumes[2:], chunk_size=(11, 12, 13), batch_chunks=1)
    assert len(run.plan.stage("agglomeration").tiers) == 3
    return run


@pytest.fixture(scope="session")
def whole(volumes: tuple[Any, Any, str, str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same in one chunk, without ground truth. Tests do not change it."""
    return make_run(tmp_path_factory.mktemp("whole"), volumes[2], None)
