"""The nets that can be trained: their modules, what their files say of them, and weights to begin with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seuron.errors import PermanentError
from seuron.nets.architectures import build
from seuron.nets.models import open_model
from seuron.nets.models.own_format import Weights, read_own
from seuron.nets.network import NetworkConfig
from seuron.params.typed_file import parse_typed
from seuron.training.file import NetworkChoice, TrainingFile


@dataclass(frozen=True)
class TrainableNet:
    """A network that was chosen.

    Attributes:
        choice: what the training file says.
        config: its offsets and outputs, as those of a boundary net.
    """

    choice: NetworkChoice
    config: NetworkConfig

    @classmethod
    def of(cls, choice: NetworkChoice) -> TrainableNet:
        """The net of a choice."""
        config = NetworkConfig(
            choice.widths, choice.offsets, choice.norm, choice.section_offsets, choice.flat_levels, choice.descriptors
        )
        return cls(choice, config)

    @property
    def header(self) -> dict[str, Any]:
        """What `seuron.nets.architectures.build` makes the module of."""
        if self.choice.kind == "boundary":
            return {"kind": "boundary", **self.config.as_dict()}
        widths, outputs = list(self.choice.widths), self.config.channels
        return {"kind": "residual-unet", "widths": widths, "inputs": 1, "outputs": outputs, "norm": self.choice.norm}

    @property
    def axes(self) -> str:
        """Of the module's tensors."""
        return "bcxyz" if self.choice.kind == "boundary" else "bczyx"

    def module(self) -> nn.Module:
        """With weights of no meaning, drawn from torch's generator."""
        return build(self.header)

    def logits(self, net: nn.Module, image: Tensor) -> Tensor:
        """What a module says of images `(N, 1, X, Y, Z)`: `(N, K, X, Y, Z)`."""
        if self.choice.kind == "boundary":
            found: Tensor = net(image)
            return found
        turned: Tensor = net(image.transpose(2, 4).contiguous())
        return turned.transpose(2, 4)


def with_start(training: TrainingFile) -> TrainingFile:
    """The training with the network of the model that it begins with; itself where it begins with none.

    Raises:
        NotFoundError: there is no such model.
        PermanentError: it is no net of seuron's own that is trained for affinities, or the file names another network.
    """
    if not training.start:
        return training
    choice = _network_of(training.start, _weights(training.start))
    if "network" in training.model_fields_set and training.network != choice:
        raise PermanentError(
            f"`start` is {training.start}, whose network is {choice.model_dump(mode='json')}; `network` says "
            f"{training.network.model_dump(mode='json')}. Leave `network` out"
        )
    values = {**training.model_dump(), "network": choice}
    return parse_typed(TrainingFile, values, f"the training of {training.start}")


def start_state(start: str) -> dict[str, Tensor]:
    """The weights of a model to begin with."""
    return {name: torch.from_numpy(np.array(array)) for name, array in _weights(start).arrays.items()}


def _weights(start: str) -> Weights:
    model = open_model(start)
    if model.format != "own":
        raise PermanentError(f"`start` {start} is a net in {model.format}; only seuron's own files are trained further")
    return read_own(model.path)


def _network_of(start: str, weights: Weights) -> NetworkChoice:
    """What a training file would have said of a model's network."""
    fields: Mapping[str, Any] = weights.network
    if fields.get("kind") != "boundary":
        recipe = weights.record.get("recipe")
        fields = recipe.get("network", {}) if isinstance(recipe, dict) else {}
    if "offsets" not in fields:
        raise PermanentError(f"`start` {start} does not say which affinities it gives; give a net of `seuron train`")
    return NetworkChoice(**fields)
