"""The recipe of the shipped weights, `seuron/nets/weights/boundary-fib25.npz`, as a command.

    OMP_WAIT_POLICY=PASSIVE python -m benchmarks.shipped_weights.train ../shared/data/fib25_train2_z000-166.h5

FIB-25's labelled cube is split along z: 0..99 trains, 100..129 chooses thresholds, 130..165 is for the
final scores and is read by nothing here. Synthetic tissue makes up 35 % of the patches.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from seuron.box import Box
from seuron.nets.checkpoint import SHIPPED, save_checkpoint
from seuron.nets.training import TrainingConfig, train
from seuron.nets.training_data import TrainingVolume, hdf5_volume
from seuron.synth import Defects, synthesize

TRAIN_BOX = Box((0, 0, 0), (250, 250, 100))
VALIDATION_BOX = Box((0, 0, 100), (250, 250, 130))
TEST_BOX = Box((0, 0, 130), (250, 250, 166))
SYNTHETIC_SEEDS = (101, 102, 103)
HELD_OUT_SEED = 901
SYNTHETIC_SHAPE = (192, 192, 128)
RESOLUTION = (10.0, 10.0, 10.0)
STEPS, SEED, THREADS = 1400, 25, 2


def shipped_volumes(fib25: Path) -> list[TrainingVolume]:
    """FIB-25's training part and three synthetic volumes, one of them with damaged sections."""
    real = hdf5_volume(
        "fib25 z0-99", f"{fib25}:raw", f"{fib25}:labels/neuron_ids", RESOLUTION, TRAIN_BOX, "unknown", 0.65
    )
    damage = Defects(missing=(30,), recontrasted=(60, 61, 90), cracked=(100,), folded=(15,))
    made = []
    for seed in SYNTHETIC_SEEDS:
        defects = damage if seed == SYNTHETIC_SEEDS[-1] else Defects()
        volume = synthesize(SYNTHETIC_SHAPE, seed, defects=defects, resolution=RESOLUTION)
        share = 0.35 / len(SYNTHETIC_SEEDS)
        made.append(TrainingVolume(f"synthetic {seed}", volume.image, volume.labels, RESOLUTION, "boundary", share))
    return [real, *made]


def main() -> None:
    """Train and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fib25", type=Path, help="fib25_train2_z000-166.h5")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="where the .npz goes")
    parser.add_argument("--steps", type=int, default=STEPS, help="optimiser steps")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    volumes = shipped_volumes(arguments.fib25)
    result = train(TrainingConfig(volumes, steps=arguments.steps, seed=SEED, threads=THREADS))
    record = {
        "recipe": result.config.record(),
        "data": "FIB-25 training_sample2 (janelia-flyem/neuroproof_examples, CC BY 3.0), z 0..99; synthetic",
        "cpu_seconds": round(result.cpu_seconds),
        "final_loss": sum(result.losses[-50:]) / len(result.losses[-50:]),
    }
    save_checkpoint(arguments.out, result.net, record)
    print(f"wrote {arguments.out}: {result.cpu_seconds:.0f} CPU-s, loss {record['final_loss']:.4f}")


if __name__ == "__main__":
    main()
