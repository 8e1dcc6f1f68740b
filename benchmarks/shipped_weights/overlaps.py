"""What smaller overlaps of patches cost in accuracy, and what they save.

    python -m benchmarks.shipped_weights.overlaps ../shared/data/fib25_train2_z000-166.h5

The shipped net over the validation part of FIB-25 (z 100..129), which no weight was trained on: AUC of the affinities,
and the scores of the segmentation that a run makes of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.shipped_weights.scores import segmentation_scores
from benchmarks.shipped_weights.train import RESOLUTION, VALIDATION_BOX
from seuron.box import Box
from seuron.nets.engines import load_engine
from seuron.nets.normalisation import measure_normalisation
from seuron.nets.patches import Blending, PatchGrid
from seuron.nets.predict import predict_volume, to_uint8
from seuron.training.volumes import hdf5_volume
from seuron.training.voxel_scores import affinity_histograms

PATCH = 64
OVERLAPS: tuple[tuple[int, Blending], ...] = (
    *((overlap, "blend") for overlap in (32, 24, 16, 8, 4, 0)),
    *((overlap, "crop") for overlap in (32, 16, 8, 0)),
)
LARGE = Box((0, 0, 0), (4096, 4096, 4096))
#: The agglomeration threshold that a run has.
THRESHOLD = 0.25


def main() -> None:
    """Print a row for each overlap."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fib25", type=Path, help="fib25_train2_z000-166.h5")
    given = parser.parse_args()
    volume = hdf5_volume("v", f"{given.fib25}:raw", f"{given.fib25}:labels/neuron_ids", RESOLUTION, VALIDATION_BOX)
    engine, scale = load_engine("boundary-fib25"), measure_normalisation(volume.image)
    print(f"{volume.image.shape} voxels, patches of {PATCH}, {engine.name} {engine.precision}")
    print("| overlap | joined by | computed for one, 96^3 patches, large volume | AUC x, y, z | Rand error | VOI |")
    print("|---|---|---|---|---|---|")
    for overlap, blending in OVERLAPS:
        sizes = (PATCH,) * 3, (overlap,) * 3
        affinities = to_uint8(predict_volume(engine, volume.image, scale, *sizes, blending=blending))
        auc = ", ".join(f"{value:.4f}" for value in affinity_histograms(affinities, volume.labels).auc())
        found = segmentation_scores(affinities, volume.labels, THRESHOLD)
        voi = f"{found.voi_split:.3f} + {found.voi_merge:.3f}"
        paid = PatchGrid(LARGE, (96,) * 3, (overlap,) * 3).patches_per_voxel
        print(f"| {overlap} | {blending} | {paid:.2f} | {auc} | {found.adapted_rand_error:.4f} | {voi} |", flush=True)


if __name__ == "__main__":
    main()
