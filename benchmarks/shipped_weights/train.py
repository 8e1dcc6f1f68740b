"""The recipe of the weights that are shipped next, as a command.

    export OMP_WAIT_POLICY=PASSIVE
    python -m benchmarks.shipped_weights.train ../shared/data/fib25_train2_z000-166.h5 OUT.safetensors

FIB-25's labelled cube is split along z: 0..99 trains, 100..129 chooses thresholds, 130..165 is for the
final scores and is read by nothing here. Synthetic tissue makes up 35 % of the patches. `boundary-fib25.npz` was made
by an earlier trainer with the same parts; its record holds that recipe.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from seuron.box import Box
from seuron.training.file import (
    AugmentationChoice,
    LabelledSource,
    LossChoice,
    NetworkChoice,
    Schedule,
    Synthetic,
    TrainingFile,
)
from seuron.training.run import run_training

TRAIN_BOX = Box((0, 0, 0), (250, 250, 100))
VALIDATION_BOX = Box((0, 0, 100), (250, 250, 130))
TEST_BOX = Box((0, 0, 130), (250, 250, 166))
SYNTHETIC_SEEDS = (101, 102, 103)
HELD_OUT_SEED = 901
SYNTHETIC_SHAPE = (192, 192, 128)
RESOLUTION = (10.0, 10.0, 10.0)
STEPS, SEED, THREADS = 6000, 25, 2
#: The validation part is 30 sections: patches are as high as a net of three levels takes of it.
PATCH = (64, 64, 28)


def shipped_training(fib25: Path, out: Path, steps: int) -> TrainingFile:
    """FIB-25's training and validation parts, and three synthetic volumes."""
    image, labels = f"{fib25}:raw", f"{fib25}:labels/neuron_ids"
    parts = [
        LabelledSource(
            image=image, labels=labels, resolution=RESOLUTION, box=box.corners, zero="unknown", weight=0.65, part=part
        )
        for box, part in ((TRAIN_BOX, "training"), (VALIDATION_BOX, "validation"))
    ]
    made = [
        LabelledSource(synthetic=Synthetic(seed=seed, shape=SYNTHETIC_SHAPE), weight=0.35 / len(SYNTHETIC_SEEDS))
        for seed in SYNTHETIC_SEEDS
    ]
    return TrainingFile(
        out=str(out),
        licence="CC0-1.0",
        cite=("FIB-25 training_sample2: janelia-flyem/neuroproof_examples, CC BY 3.0",),
        volumes=(*parts, *made),
        network=NetworkChoice(descriptors=True),
        augmentation=AugmentationChoice(warp=0.3, out_of_focus=0.05),
        loss=LossChoice(erosion=1),
        schedule=Schedule(steps=steps, patch_size=PATCH, batch=4, seed=SEED, threads=THREADS),
    )


def main() -> None:
    """Train, choose thresholds, and write the weights and their card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fib25", type=Path, help="fib25_train2_z000-166.h5")
    parser.add_argument("out", type=Path, help="where the .safetensors goes")
    parser.add_argument("--steps", type=int, default=STEPS, help="optimiser steps")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    run_training(shipped_training(arguments.fib25, arguments.out, arguments.steps))


if __name__ == "__main__":
    main()
