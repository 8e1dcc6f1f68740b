"""Trainings of a few steps of nets with a few weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seuron.params.typed_file import parse_typed
from seuron.training.file import TrainingFile

#: TOML of a training that takes a second or two, with everything in it that a step can depend on.
DOCUMENT = """
out = "tiny.safetensors"

[[volumes]]
synthetic = { seed = 1, shape = [40, 40, 32] }

[[volumes]]
synthetic = { seed = 2, shape = [32, 32, 24] }
part = "validation"

[network]
widths = [4, 4]
offsets = [1, 3]

[augmentation]
warp = 0.5
misalignment = 0.5
lost = 0.5
out_of_focus = 0.3

[schedule]
steps = 8
patch_size = [16, 16, 16]
batch = 1
accumulation = 2
precision = "fp32"
device = "cpu"

[watching]
checkpoint_every = 2
validate_every = 3
validation_patches = 2

[thresholds]
watershed_high = [0.9]
agglomeration = [0.3, 0.6]
"""


def write_training(folder: Path, document: str = DOCUMENT) -> Path:
    """The file of a tiny training in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny.toml"
    path.write_text(document)
    return path


def tiny_training(out: Path, **changes: Any) -> TrainingFile:
    """A tiny training whose tables have other values: `schedule={"steps": 3}`."""
    import tomllib

    document = tomllib.loads(DOCUMENT) | {"out": str(out)}
    for name, value in changes.items():
        document[name] = {**document.get(name, {}), **value} if isinstance(value, dict) else value
    return parse_typed(TrainingFile, document, "a test's training")
