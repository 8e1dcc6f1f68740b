"""Finished runs, with uint8 affinities and in chunks, and with float32."""

from __future__ import annotations

import numpy as np
import pytest
from small_runs import make_run, smooth, store

from seuron.engine.run import Run

SHAPE = (44, 36, 28)


@pytest.fixture(scope="session")
def exported_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in chunks that no export has. Tests do not change it."""
    folder = tmp_path_factory.mktemp("exported")
    return make_run(
        folder / "run", store(folder / "affinities", smooth(SHAPE, 3)), None, chunk_size=(20, 24, 28), batch_chunks=1
    )


@pytest.fixture(scope="session")
def float_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose affinities are float32, and stand at the voxel before. Tests do not change it."""
    folder = tmp_path_factory.mktemp("floats")
    affinities = np.asfortranarray(smooth((20, 18, 16), 5) / np.float32(255))
    return make_run(folder / "run", store(folder / "affinities", affinities), None, affinity_edges="forward")
