"""Presets of a segmentation, each for a kind of data."""

from __future__ import annotations

from seuron.params.presets import Preset

PRESETS: dict[str, Preset] = {
    "isotropic-10nm": Preset(
        "isotropic images near 10 nm a voxel, such as FIB-SEM, with the shipped net",
        "chosen on the validation part of FIB-25 (seuron/nets/weights/boundary-fib25.md)",
        {
            "model": "boundary-fib25",
            "patch_size": [96, 96, 96],
            "patch_overlap": [16, 16, 16],
            "chunk_size": [256, 256, 256],
            "watershed_high": 0.99,
            "watershed_low": 0.01,
            "watershed_size": 200,
            "watershed_dust": 50,
            "agglomeration_threshold": 0.25,
        },
    ),
    "serial-sections-40nm": Preset(
        "affinities of serial sections, 4 or 8 nm in the section and 40 nm between them; no shipped net makes these",
        "the defaults and sample parameters of the reference system (chunks, blocks, thresholds; dust as size)",
        {
            "chunk_size": [512, 512, 256],
            "block_size": [256, 256, 64],
            "watershed_high": 0.99,
            "watershed_low": 0.01,
            "watershed_size": 200,
            "watershed_dust": 200,
            "agglomeration_threshold": 0.2,
        },
    ),
    "demonstration": Preset(
        "volumes of a few hundred voxels a side, cut small enough that a run has many tasks",
        "what `seuron demo` takes",
        {"chunk_size": [128, 128, 128], "batch_chunks": 1},
    ),
}
