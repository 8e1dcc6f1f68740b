"""The networks whose weights seuron's own files hold, by the kind that their header names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from seuron.errors import PermanentError, did_you_mean
from seuron.nets.models.own_format import Weights, check_finite
from seuron.nets.network import BoundaryNet, NetworkConfig
from seuron.nets.residual_unet import ResidualUNet
from seuron.nets.resize_unet import ResizeUNet

KINDS: Mapping[str, Callable[[Mapping[str, Any]], nn.Module]] = {
    "boundary": lambda fields: BoundaryNet(NetworkConfig.from_dict(dict(fields))),
    "residual-unet": lambda fields: ResidualUNet(**fields),
    "resize-unet": lambda fields: ResizeUNet(**fields),
}


def build(network: Mapping[str, Any]) -> nn.Module:
    """The module that a header names, with weights of no meaning; raises PermanentError for a kind that is not known.

    Args:
        network: `kind`, and the arguments of that kind's class.
    """
    kind = str(network.get("kind"))
    if kind not in KINDS:
        known = ", ".join(KINDS)
        raise PermanentError(f"network kind {kind!r}: {did_you_mean(kind, KINDS, f'known are {known}')}")
    return KINDS[kind]({name: value for name, value in network.items() if name != "kind"})


def filled(weights: Weights, what: str) -> nn.Module:
    """The module of a file, in eval mode; raises PermanentError where arrays and network do not fit, or are not finite.

    Args:
        weights: with arrays.
        what: names the file in messages.
    """
    check_finite(weights.arrays, what)
    try:
        net = build(weights.network)
        net.load_state_dict({name: torch.from_numpy(array) for name, array in weights.arrays.items()})
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise PermanentError(f"weights {what}: the arrays do not fit the network they name: {error}") from error
    return net.eval()
