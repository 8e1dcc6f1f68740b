"""The weights that come with seuron, on real tissue that neither training nor a threshold has seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.shipped_weights.train import HELD_OUT_SEED, TEST_BOX
from seuron.box import Box
from seuron.nets.checkpoint import SHIPPED, load_checkpoint
from seuron.nets.engines import load_engine
from seuron.nets.normalisation import measure_normalisation
from seuron.nets.predict import predict_volume, to_uint8
from seuron.synth import synthesize
from seuron.training.volumes import TrainingVolume, hdf5_volume
from seuron.training.voxel_scores import affinity_histograms

FIB25 = Path(__file__).parents[2].parent / "shared" / "data" / "fib25_train2_z000-166.h5"


def auc(volume: TrainingVolume, contrast: float = 1.0) -> float:
    """The worst channel's AUC, with the grey values stretched first."""
    grey = np.clip(np.rint((volume.image - 128.0) * contrast + 120), 1, 255).astype(np.uint8)
    engine = load_engine("boundary-fib25", device="cpu")
    affinities = predict_volume(engine, grey, measure_normalisation(grey), (64, 64, 36), (16, 16, 0))
    return min(affinity_histograms(to_uint8(affinities), volume.labels).auc())


def test_the_file_is_small_and_says_how_it_was_made() -> None:
    assert SHIPPED.stat().st_size <= 2 * 2**20
    _, record = load_checkpoint(SHIPPED)
    assert "CC BY 3.0" in record["data"]
    assert record["recipe"]["seed"] == 25
    card = SHIPPED.with_suffix(".md").read_text()
    assert "CC BY 3.0" in card
    assert "janelia-flyem/neuroproof_examples" in card


@pytest.mark.skipif(not FIB25.is_file(), reason=f"needs FIB-25's labelled cube at {FIB25}")
@pytest.mark.parametrize("contrast", [1.0, 0.6])
def test_boundaries_of_held_out_fib25_are_found(contrast: float) -> None:
    """A floor under the card's score; contrast is the run's business, so another must do as well."""
    box = Box((70, 70, TEST_BOX.minimum[2]), (182, 182, TEST_BOX.maximum[2]))
    image, labels = f"{FIB25}:raw", f"{FIB25}:labels/neuron_ids"
    assert auc(hdf5_volume("test", image, labels, (10, 10, 10), box), contrast) > 0.93


def test_boundaries_of_unseen_synthetic_tissue_are_found() -> None:
    made = synthesize((112, 112, 36), HELD_OUT_SEED)
    assert auc(TrainingVolume("synthetic", made.image, made.labels, made.resolution)) > 0.95
