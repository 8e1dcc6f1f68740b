"""The scores on the shipped weights' card, as a command.

    python -m benchmarks.shipped_weights.scores ../shared/data/fib25_train2_z000-166.h5

Every threshold is chosen on the validation part (z 100..129) and then used on the test part (z 130..165),
which nothing else has read. Segmentations are those of `abiss_py.segment`, that is of a run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from abiss_py import segment
from benchmarks.shipped_weights.train import (
    HELD_OUT_SEED,
    RESOLUTION,
    SYNTHETIC_SHAPE,
    TEST_BOX,
    VALIDATION_BOX,
)
from seuron.evaluation import Scores, contingency, scores
from seuron.nets.checkpoint import SHIPPED
from seuron.nets.engines import load_engine
from seuron.nets.normalisation import measure_normalisation
from seuron.nets.predict import predict_volume, to_uint8
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.synth import synthesize
from seuron.training.volumes import TrainingVolume, hdf5_volume
from seuron.training.voxel_scores import affinity_histograms

#: Agglomeration thresholds tried on the validation part; everything else is a run's default.
THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)


def predict(volume: TrainingVolume, weights: Path) -> npt.NDArray[np.uint8]:
    """Affinities `(X, Y, Z, 3)` of a volume by itself, as a run would store them."""
    return to_uint8(predict_volume(load_engine(weights), volume.image, measure_normalisation(volume.image)))


def segmentation_scores(affinities: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint32], threshold: float) -> Scores:
    """The scores of a run's segmentation; label 0 of the truth is ignored."""
    defaults = SegmentationParams(affinities="-", output="-")
    found = segment(
        affinities,
        high=defaults.watershed_high,
        low=defaults.watershed_low,
        size=defaults.watershed_size,
        dust=defaults.watershed_dust,
        threshold=threshold,
    )
    return scores(contingency(found.segments, labels))


def main() -> None:
    """Print the card's figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fib25", type=Path, help="fib25_train2_z000-166.h5")
    parser.add_argument("--weights", type=Path, default=SHIPPED)
    parser.add_argument("--validation-only", action="store_true", help="leave the test part unread")
    arguments = parser.parse_args()
    image, labels = f"{arguments.fib25}:raw", f"{arguments.fib25}:labels/neuron_ids"
    validation = hdf5_volume("v", image, labels, RESOLUTION, VALIDATION_BOX)
    affinities = predict(validation, arguments.weights)
    cut = affinity_histograms(affinities, validation.labels).best_threshold()
    tried = {t: segmentation_scores(affinities, validation.labels, t) for t in THRESHOLDS}
    threshold = min(tried, key=lambda t: tried[t].voi_split + tried[t].voi_merge)
    print(f"chosen on validation: boundary under {cut}/255; agglomeration_threshold {threshold}")

    parts = {"FIB-25 validation z100-129": validation}
    if not arguments.validation_only:
        made = synthesize(SYNTHETIC_SHAPE, HELD_OUT_SEED)
        parts["FIB-25 test z130-165"] = hdf5_volume("t", image, labels, RESOLUTION, TEST_BOX)
        parts[f"synthetic seed {HELD_OUT_SEED}"] = TrainingVolume("s", made.image, made.labels, RESOLUTION)
    for name, volume in parts.items():
        affinities = predict(volume, arguments.weights)
        found = affinity_histograms(affinities, volume.labels)
        score = segmentation_scores(affinities, volume.labels, threshold)
        auc, f1 = (", ".join(f"{v:.4f}" for v in row) for row in (found.auc(), found.f1(cut)))
        print(f"{name}: AUC x, y, z {auc}; boundary F1 {f1}")
        print(
            f"  adapted Rand error {score.adapted_rand_error:.4f}, "
            f"VOI split {score.voi_split:.3f} + merge {score.voi_merge:.3f}"
        )


if __name__ == "__main__":
    main()
