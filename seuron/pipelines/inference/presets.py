"""Presets of an inference, each for a way of working."""

from __future__ import annotations

from seuron.params.presets import Preset

PRESETS: dict[str, Preset] = {
    "isotropic-10nm": Preset(
        "isotropic images near 10 nm a voxel, such as FIB-SEM, with the shipped net",
        "chosen on the validation part of FIB-25 (seuron/nets/weights/boundary-fib25.md)",
        {"model": "boundary-fib25", "patch_size": [96, 96, 96], "patch_overlap": [16, 16, 16]},
    ),
    "cropped": Preset(
        "patches that are cropped instead of blended, as chunkflow does by default",
        "docs/inference.md has the cost of both",
        {"patch_blending": "crop"},
    ),
}
