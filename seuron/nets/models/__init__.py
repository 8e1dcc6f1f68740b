"""Nets as data: what describes them, the formats they come in, where they are found. Loads no torch.

description   what is known of a net without running it
model_file    any file or folder that holds a net, opened: description, format, weights
own_format    seuron's own files
shipped       the nets that come with seuron
"""

from __future__ import annotations

from seuron.nets.models.description import (
    Channel,
    ChosenThresholds,
    InputScale,
    ModelDescription,
    OutputLayer,
    PatchShapes,
)
from seuron.nets.models.model_file import ModelFile, describe, known_descriptions, model_path, open_model
from seuron.nets.models.shipped import shipped_models

__all__ = [
    "Channel",
    "ChosenThresholds",
    "InputScale",
    "ModelDescription",
    "ModelFile",
    "OutputLayer",
    "PatchShapes",
    "describe",
    "known_descriptions",
    "model_path",
    "open_model",
    "shipped_models",
]
