"""The residual symmetric U-Net of the petascale papers, for anisotropic images.

Lee et al. 2017 (arXiv:1706.00120) and Macrina et al. 2021 describe it: modules of four convolutions with a skip over
the middle two, each after a normalisation and an activation; summed skips between the two sides; pooling in the plane
of the sections only. Names of weights are those of the files that its authors published, so those load as they are.

Tensors are `(N, C, Z, Y, X)`. InstanceNorm makes an output depend on the whole patch; with `norm="batch"` it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn


class NormActConv(nn.Module):
    """`conv(relu(norm(x)))`, 3x3x3, without bias."""

    def __init__(self, inputs: int, outputs: int, norm: str) -> None:
        super().__init__()
        self.norm = _norm(inputs, norm)
        self.conv = nn.Conv3d(inputs, outputs, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv(torch.relu(self.norm(x)))
        return result


class InnerConvs(nn.Module):
    """`x + conv2(conv1(x))`."""

    def __init__(self, width: int, norm: str) -> None:
        super().__init__()
        self.conv1, self.conv2 = NormActConv(width, width, norm), NormActConv(width, width, norm)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.conv2(self.conv1(x))
        return result


class FourConvs(nn.Module):
    """A module: into its width, two convolutions with a skip over them, and one more."""

    def __init__(self, inputs: int, outputs: int, norm: str) -> None:
        super().__init__()
        self.pre, self.res = NormActConv(inputs, outputs, norm), InnerConvs(outputs, norm)
        self.post = NormActConv(outputs, outputs, norm)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.post(self.res(self.pre(x)))
        return result


class Enlarge(nn.Module):
    """Twice the size in the plane, each channel by itself, then another width."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        grown = nn.ConvTranspose3d(inputs, inputs, (1, 4, 4), (1, 2, 2), (0, 1, 1), groups=inputs, bias=False)
        self.up = nn.Sequential(grown, nn.Conv3d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.up(x)
        return result


class UpModule(nn.Module):
    """A level of the way up: enlarge, add the level of the way down, four convolutions."""

    def __init__(self, coarse: int, fine: int, norm: str) -> None:
        super().__init__()
        self.up, self.conv = Enlarge(coarse, fine), FourConvs(fine, fine, norm)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        result: Tensor = self.conv(self.up(x) + skip)
        return result


class Core(nn.Module):
    """The levels between the first and the last convolution."""

    def __init__(self, widths: Sequence[int], norm: str) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        self.iconv = FourConvs(widths[0], widths[0], norm)
        self.dconvs = nn.ModuleList(
            nn.Sequential(nn.MaxPool3d((1, 2, 2)), FourConvs(fine, coarse, norm)) for fine, coarse in pairs
        )
        self.uconvs = nn.ModuleList(UpModule(coarse, fine, norm) for fine, coarse in reversed(pairs))

    def forward(self, x: Tensor) -> Tensor:
        levels = [self.iconv(x)]
        for down in self.dconvs:
            levels.append(down(levels[-1]))
        current: Tensor = levels.pop()
        for up in self.uconvs:
            current = up(current, levels.pop())
        return current


class FirstConv(nn.Module):
    """1x5x5, from the image's channels, without bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.ModuleDict({"conv": nn.Conv3d(inputs, outputs, (1, 5, 5), padding=(0, 2, 2), bias=False)})

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv["conv"](x)
        return result


class LastConv(nn.Module):
    """Norm, activation and 1x5x5 to the outputs."""

    def __init__(self, inputs: int, outputs: int, norm: str) -> None:
        super().__init__()
        self.norm = _norm(inputs, norm)
        conv = nn.Conv3d(inputs, outputs, (1, 5, 5), padding=(0, 2, 2))
        self.outs = nn.ModuleList([nn.ModuleDict({"conv": conv})])

    @property
    def final(self) -> nn.Conv3d:
        """The convolution that gives the outputs."""
        head = self.outs[0]
        assert isinstance(head, nn.ModuleDict)
        conv = head["conv"]
        assert isinstance(conv, nn.Conv3d)
        return conv

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.final(torch.relu(self.norm(x)))
        return result


class ResidualUNet(nn.Module):
    """Inputs `(N, C, Z, Y, X)` to logits `(N, K, Z, Y, X)`; y and x are multiples of `2^(levels - 1)`.

    Args:
        widths: channels of each level, finest first.
        inputs: input channels C.
        outputs: K.
        norm: `instance` (the papers') or `batch`.
    """

    def __init__(
        self, widths: Sequence[int], inputs: int, outputs: int, norm: Literal["instance", "batch"] = "instance"
    ) -> None:
        super().__init__()
        self.add_module("in", FirstConv(inputs, widths[0]))
        self.core = Core(widths, norm)
        self.out = LastConv(widths[0], outputs, norm)

    def forward(self, x: Tensor) -> Tensor:
        first: Tensor = self.get_submodule("in")(x)
        logits: Tensor = self.out(self.core(first))
        return logits


def _norm(width: int, norm: str) -> nn.Module:
    return nn.BatchNorm3d(width) if norm == "batch" else nn.InstanceNorm3d(width, affine=True)
