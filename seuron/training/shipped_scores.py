"""The scores on the shipped weights' card, as a command.

    python -m seuron.training.shipped_scores ../shared/data/fib25_train2_z000-166.h5

Every threshold is chosen on the validation part (z 100..129) and then used once on the test part
(z 130..165). The segmentation check needs waterz and scikit-image, which seuron itself does not: it
asks whether the affinities are useful, with fragments seeded by distance and mean-affinity agglomeration.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seuron.box import Box, triple
from seuron.inference.checkpoint import SHIPPED
from seuron.inference.normalisation import measure_normalisation
from seuron.inference.predict import Predictor, predict_box, to_uint8
from seuron.synth import synthesize
from seuron.training.scoring import affinity_histograms
from seuron.training.shipped import (
    HELD_OUT_SEED,
    RESOLUTION,
    SYNTHETIC_SHAPE,
    TEST_BOX,
    VALIDATION_BOX,
)
from seuron.training.sources import TrainingVolume, hdf5_volume

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(2, 20))
"""Agglomeration thresholds tried on the validation part: merge while `1 - mean affinity` is below."""


def predict(volume: TrainingVolume, weights: Path) -> tuple[npt.NDArray[np.float32], float]:
    """Affinities `(X, Y, Z, 3)` of a volume by itself, as a run would make them, and the CPU time in seconds."""
    predictor = Predictor.load(weights, measure_normalisation(volume.image))
    shape = triple(volume.image.shape)
    patch = triple([min(96, -(-n // predictor.granularity) * predictor.granularity) for n in shape])
    overlap = triple([16 if p < n else 0 for p, n in zip(patch, shape, strict=True)])
    corners = ((0, 0, 0), shape, (0, 0, 0), shape)
    started = time.process_time()
    affinities = predict_box(lambda low, high: volume.image[Box(low, high).slices], *corners, predictor, patch, overlap)
    return affinities, time.process_time() - started


def fragments(affinities: npt.NDArray[np.float32]) -> npt.NDArray[np.uint64]:
    """Supervoxels `(X, Y, Z)` from the peaks of the distance to the boundary."""
    from scipy import ndimage
    from skimage.segmentation import watershed

    inside = affinities.mean(axis=-1)
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(inside > 0.5), 1.0)
    peaks = (distance == ndimage.maximum_filter(distance, 7)) & (distance > 0.5)
    seeds, _ = ndimage.label(peaks, np.ones((3, 3, 3)))
    found: npt.NDArray[np.uint64] = watershed(-distance, seeds).astype(np.uint64)  # type: ignore[no-untyped-call]
    return found


def rand_errors(
    affinities: npt.NDArray[np.float32], labels: npt.NDArray[np.uint32], thresholds: Sequence[float]
) -> list[float]:
    """Adapted Rand error at each agglomeration threshold, over voxels with a label."""
    import waterz
    from skimage.metrics import adapted_rand_error

    channels = np.ascontiguousarray(np.moveaxis(affinities, -1, 0)[::-1].transpose(0, 3, 2, 1))
    pieces = np.ascontiguousarray(fragments(affinities).T)
    errors = []
    for merged in waterz.agglomerate(channels, list(thresholds), fragments=pieces):
        error = adapted_rand_error(labels.T, np.asarray(merged), ignore_labels=(0,))  # type: ignore[no-untyped-call]
        errors.append(float(error[0]))
    return errors


def main() -> None:
    """Print the card's figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fib25", type=Path, help="fib25_train2_z000-166.h5")
    parser.add_argument("--weights", type=Path, default=SHIPPED)
    arguments = parser.parse_args()
    image, labels = f"{arguments.fib25}:raw", f"{arguments.fib25}:labels/neuron_ids"
    made = synthesize(SYNTHETIC_SHAPE, HELD_OUT_SEED)
    parts = {
        "FIB-25 validation z100-129": hdf5_volume("v", image, labels, RESOLUTION, VALIDATION_BOX),
        "FIB-25 test z130-165": hdf5_volume("t", image, labels, RESOLUTION, TEST_BOX),
        f"synthetic seed {HELD_OUT_SEED}": TrainingVolume("s", made.image, made.labels, RESOLUTION),
    }
    lines: list[str] = []
    threshold, merge_at = None, None
    for name, volume in parts.items():
        affinities, seconds = predict(volume, arguments.weights)
        found = affinity_histograms(to_uint8(affinities), volume.labels)
        errors = rand_errors(affinities, volume.labels, THRESHOLDS if merge_at is None else [merge_at])
        if threshold is None or merge_at is None:  # The validation part comes first and chooses.
            threshold, merge_at = found.best_threshold(), THRESHOLDS[int(np.argmin(errors))]
            lines.append(f"chosen on it: boundary under {threshold}/255; merge while 1 - mean affinity < {merge_at}")
        auc, f1 = (", ".join(f"{v:.4f}" for v in row) for row in (found.auc(), found.f1(threshold)))
        speed = volume.image.size / seconds / 1e6
        lines.append(f"{name}: AUC x, y, z {auc}; boundary F1 {f1}; adapted Rand error {min(errors):.4f}")
        lines.append(f"  {speed:.2f} Mvox a CPU-second")
    print("\n".join(lines))  # Last, below what waterz prints.


if __name__ == "__main__":
    main()
