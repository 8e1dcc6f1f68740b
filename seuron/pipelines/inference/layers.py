"""The layers of an inference run: the image, its masks, and one for each output of the net that is wanted."""

from __future__ import annotations

from seuron.engine.pipeline import Layer
from seuron.pipelines.inference.facts import InferenceFacts
from seuron.pipelines.inference.params import InferenceParams
from seuron.storage import cloud_path, join

#: What the coarser scales take on top of a layer, at most.
PYRAMID = 1.34


def layers(params: InferenceParams, facts: InferenceFacts) -> list[Layer]:
    """All volumes of a run."""
    found = [Layer("image", cloud_path(params.image), "image", "uint8", mip=params.mip)]
    outputs = facts.prediction.outputs if facts.prediction is not None else {}
    for name, channels in outputs.items():
        found.append(
            Layer(
                name,
                join(params.output, name),
                "image",
                params.output_dtype,
                channels=len(channels),
                block_size=params.block_size,
                stage="predict",
                scales=facts.scales,
            )
        )
    return found


def stored_bytes(params: InferenceParams, facts: InferenceFacts) -> int:
    """What a run leaves on disk, at most."""
    channels = sum(layer.channels for layer in layers(params, facts) if layer.stage)
    each = 4 if params.output_dtype == "float32" else 1
    return int(facts.box.voxels * channels * each * PYRAMID)
