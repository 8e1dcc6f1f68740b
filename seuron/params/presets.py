"""Presets: named sets of values for a kind of data. Each says where its values are from.

A preset fills in what is not given; whatever else is given goes before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from seuron.errors import ParameterErrors


@dataclass(frozen=True)
class Preset:
    """Values of some parameters of a pipeline, what data they are for, and where they are from."""

    pipeline: str
    data: str
    source: str
    values: Mapping[str, Any]


PRESETS: dict[str, Preset] = {
    "isotropic-10nm": Preset(
        "segmentation",
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
        "segmentation",
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
        "segmentation",
        "volumes of a few hundred voxels a side, cut small enough that a run has many tasks",
        "what `seuron demo` takes",
        {"chunk_size": [128, 128, 128], "batch_chunks": 1},
    ),
}


def preset_values(name: str, pipeline: str = "segmentation") -> dict[str, Any]:
    """The values of a preset of a pipeline; raises ParameterErrors with the names that there are."""
    known = [other for other, preset in PRESETS.items() if preset.pipeline == pipeline]
    if name in known:
        return dict(PRESETS[name].values)
    near = get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    raise ParameterErrors([f"`preset`: no preset is called {name!r}; {hint}"])


def with_preset(values: Mapping[str, Any], pipeline: str = "segmentation") -> dict[str, Any]:
    """Values with those of the preset that they name under `preset` below them; the name itself is taken out."""
    rest = {name: value for name, value in values.items() if name != "preset"}
    named = values.get("preset")
    return rest if named in (None, "") else preset_values(str(named), pipeline) | rest
