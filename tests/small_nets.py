"""Nets of a few weights, as files and as engines, and how runs with them are made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seuron.box import Box, Triple
from seuron.nets.models import Channel, ModelDescription, OutputLayer, PatchShapes
from seuron.pipelines.stages.predict.facts import PredictionFacts


def save_small_net(path: Path, widths: tuple[int, ...] = (4, 4), seed: int = 1) -> str:
    """A boundary net that was not trained; its affinities vary with the image."""
    import torch

    from seuron.nets.checkpoint import save_checkpoint
    from seuron.nets.network import BoundaryNet, NetworkConfig

    torch.manual_seed(seed)
    net = BoundaryNet(NetworkConfig(widths=widths))
    net(torch.randn(2, 1, 16, 16, 16))
    net.last.weight.data *= 4
    save_checkpoint(path, net.eval(), {"made by": "the tests"})
    return str(path)


class ArrayEngine:
    """An engine that is a function of arrays, `(X, Y, Z)` to `(K, X, Y, Z)`; counts what it is given."""

    name = "torch"
    precision = "fp32"

    def __init__(
        self, function: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]], *channels: Channel
    ) -> None:
        outputs = (OutputLayer(name="values", channels=channels or (Channel(name="value"),), range=(0.0, 1.0)),)
        self.description = ModelDescription(
            name="array", resolutions_nm=(), patch=PatchShapes(default=(8, 8, 8)), outputs=outputs
        )
        self._function = function
        self.given = 0

    def run(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        self.given += len(batch)
        return np.stack([self._function(patch[0]) for patch in batch])


def made_up_prediction(image: Box, cell: Triple, **changes: object) -> PredictionFacts:
    """How a net would be run that is never loaded: for plans and keys."""
    values: dict[str, object] = {
        "image": image,
        "cell": cell,
        "origin": image.minimum,
        "net": "net",
        "engine": "torch",
        "precision": "fp32",
        "patch_size": (16, 16, 16),
        "patch_overlap": (4, 4, 4),
        "patch_margin": (0, 0, 0),
        "outputs": {"affinities": (0, 1, 2)},
    }
    return PredictionFacts(**{**values, **changes})  # type: ignore[arg-type]
