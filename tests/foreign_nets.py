"""Nets as others would hand them over, made here: small, anisotropic, with several outputs."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

#: What describes `TwoLayers` beside its file.
DESCRIPTION = """\
description = "boundaries and myelin of anisotropic images"
licence = "CC0-1.0"
axes = "bczyx"
resolutions_nm = [[8, 8, 40]]
margin = [2, 2, 0]

[scale]
kind = "fixed"
mean = 128
std = 64

[patch]
default = [16, 12, 5]
granularity = [2, 2, 1]
minimum = [8, 8, 3]

[[outputs]]
name = "affinities"
activation = "sigmoid"
channels = [{ name = "affinity-x", offset = [-1, 0, 0] }, { name = "affinity-y", offset = [0, -1, 0] }]

[[outputs]]
name = "myelin"
channels = [{ name = "myelin" }]
"""


class TwoLayers(nn.Module):
    """Image `(N, 1, Z, Y, X)` to two logits, and to a third channel that is a probability already."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv3d(1, 4, (1, 3, 3), padding=(0, 1, 1))
        self.logits, self.myelin = nn.Conv3d(4, 2, 3, padding=1), nn.Conv3d(4, 1, (3, 1, 1), padding=(1, 0, 0))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        small = nn.functional.max_pool3d(torch.relu(self.conv(x)), (1, 2, 2))
        seen = nn.functional.interpolate(small, scale_factor=(1.0, 2.0, 2.0), mode="nearest")
        return self.logits(seen), torch.sigmoid(self.myelin(seen))


def write_torchscript(path: Path, net: nn.Module | None = None) -> Path:
    """A TorchScript archive of a net, by default `TwoLayers`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script((net or TwoLayers()).eval()), path)  # type: ignore[no-untyped-call]
    return path


def write_onnx(path: Path, net: nn.Module | None = None, axes: str = "bczyx") -> Path:
    """An ONNX file of a net, by default `TwoLayers`, with any size along all axes but the channels'."""
    named = {axis: name for axis, name in enumerate(axes) if name != "c"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            (net or TwoLayers()).eval(),
            (torch.zeros(1, 1, *([8] * (len(axes) - 2))),),
            path,
            dynamo=False,
            input_names=["image"],
            output_names=["a", "b"][: 1 if net else 2],
            dynamic_axes=dict.fromkeys(("image", "a", "b"), named),
            opset_version=17,
        )
    return path


def described(weights: Path, text: str = DESCRIPTION) -> Path:
    """The file, with a description written beside it."""
    weights.with_suffix(".toml").write_text(text)
    return weights
