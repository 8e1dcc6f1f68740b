"""Two processes under torchrun train as one with twice the batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from tiny_trainings import DOCUMENT, write_training

from seuron.nets.models.own_format import read_own
from seuron.training.file import read_training_file
from seuron.training.run import run_training

#: Roundings of sums in another order, through eight steps of AdamW.
TOLERANCE = 2e-4


def test_two_processes_are_one_with_twice_the_batch(tmp_path: Path) -> None:
    """Gradients and the statistics of batch normalisation are those of all patches of a step."""
    document = DOCUMENT.replace('part = "validation"', "weight = 0.5")  # no thresholds: scoring takes longer
    alone = read_training_file(write_training(tmp_path / "alone", document.replace("batch = 1", "batch = 2")))
    run_training(alone)
    shared = write_training(tmp_path / "shared", document)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "seuron.cli", "train", str(shared)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    expected, found = read_own(Path(alone.out)), read_own(shared.with_suffix(".safetensors"))
    assert found.record["steps"] == 8
    np.testing.assert_allclose(found.record["final_loss"], expected.record["final_loss"], atol=TOLERANCE)
    for name, array in expected.arrays.items():
        np.testing.assert_allclose(found.arrays[name], array, atol=TOLERANCE, err_msg=name)
