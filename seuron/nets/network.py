"""The boundary net: a small residual symmetric 3D U-Net that sees one patch and gives affinities.

Tensors are `(N, C, X, Y, Z)`: the axis order of the project's arrays with batch and channel in front.
The design follows Lee et al. 2017 (arXiv:1706.00120): summed skips, residual modules, long-range
affinities as an auxiliary task. It differs where a CPU is concerned: three levels, widths in
multiples of 16 (what bf16 kernels like), and BatchNorm, which folds into the convolutions at
inference. InstanceNorm stays behind a switch: it depends on what else is in the patch, so it shows seams
and costs about 40 % of the speed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from seuron.box import Triple
from seuron.errors import PermanentError

Norm = Literal["batch", "instance"]

OFFSETS: tuple[int, ...] = (1, 3, 9)
"""Distances, in voxels, of the affinities the net learns; the first is the one that is used."""

DESCRIPTORS = 10
"""Numbers that describe the shape of the body around a voxel (`seuron.training.descriptors`)."""


TARGET_MARGIN = 0.1
"""Nets are trained towards 0.1 and 0.9, so that one that may be unsure keeps its order among sure
voxels; `(p - 0.1) / 0.8` undoes it."""


@dataclass(frozen=True)
class NetworkConfig:
    """What fixes the shape of a boundary net.

    Attributes:
        widths: channels of each level, finest first; each further level halves the resolution.
        offsets: distances in voxels; the net has `3 * len(offsets)` outputs, ordered
            `(offset, axis)`: x, y, z at the first offset, then x, y, z at the second.
        norm: `batch` (folded at inference) or `instance`.
        section_offsets: the distances along z; those of x and y if None.
        flat_levels: how many of the first levels are pooled along x and y only, for thick sections.
        descriptors: whether local shape descriptors follow the affinities, ten more outputs.
    """

    widths: tuple[int, ...] = (16, 32, 64)
    offsets: tuple[int, ...] = OFFSETS
    norm: Norm = "batch"
    section_offsets: tuple[int, ...] | None = None
    flat_levels: int = 0
    descriptors: bool = False

    def __post_init__(self) -> None:
        if self.norm not in ("batch", "instance"):
            raise PermanentError(f"network norm: got {self.norm!r}; use 'batch' or 'instance'")
        if not self.widths or min(self.widths) < 1:
            raise PermanentError(f"network widths: got {self.widths}; give at least one positive number of channels")
        if not self.offsets or self.offsets[0] != 1:
            raise PermanentError(f"network offsets: got {self.offsets}; the first must be 1, the affinity that is used")
        along_z = self.section_offsets
        if along_z is not None and (len(along_z) != len(self.offsets) or along_z[0] != 1):
            raise PermanentError(
                f"network section_offsets: got {along_z}; as many as offsets, {len(self.offsets)}, and the first is 1"
            )
        if not 0 <= self.flat_levels < len(self.widths):
            raise PermanentError(f"network flat_levels: got {self.flat_levels}; 0 to {len(self.widths) - 1}")

    @property
    def channel_offsets(self) -> tuple[Triple, ...]:
        """The offset of each affinity, from a voxel to the one that it is with, along x, y, z."""
        pairs = zip(self.offsets, self.section_offsets or self.offsets, strict=True)
        return tuple(offset for d, z in pairs for offset in ((-d, 0, 0), (0, -d, 0), (0, 0, -z)))

    @property
    def channels(self) -> int:
        """Number of outputs."""
        return 3 * len(self.offsets) + (DESCRIPTORS if self.descriptors else 0)

    @property
    def pooling(self) -> tuple[Triple, ...]:
        """How many voxels along x, y, z become one from each level to the next."""
        return tuple((2, 2, 1) if level < self.flat_levels else (2, 2, 2) for level in range(len(self.widths) - 1))

    @property
    def granularity(self) -> Triple:
        """A patch's sides must be multiples of this."""
        poolings = len(self.widths) - 1
        return (2**poolings, 2**poolings, 2 ** (poolings - self.flat_levels))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready fields."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> NetworkConfig:
        """The inverse of `as_dict`, through JSON too; what earlier versions did not write has its default."""
        lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
        return cls(**{**fields, **lists})


class ConvNorm(nn.Module):
    """A convolution and its normalisation; the norm is gone once `fold` has been called."""

    def __init__(self, inputs: int, outputs: int, kernel: int, norm: Norm) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm3d(outputs) if norm == "batch" else nn.InstanceNorm3d(outputs, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.norm(self.conv(x))
        return result

    def fold(self) -> None:
        """Put a BatchNorm's running statistics into the convolution; others stay."""
        if not isinstance(self.norm, nn.BatchNorm3d):
            return
        norm = self.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        weight, bias = fuse_conv_bn_weights(
            self.conv.weight, None, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        self.conv.weight, self.conv.bias = weight, bias
        self.norm = nn.Identity()


class Residual(nn.Module):
    """`relu(a + norm(conv(a)))` with `a = relu(norm(conv(x)))`: the first changes the width."""

    def __init__(self, inputs: int, outputs: int, norm: Norm) -> None:
        super().__init__()
        self.enter = ConvNorm(inputs, outputs, 3, norm)
        self.inner = ConvNorm(outputs, outputs, 3, norm)

    def forward(self, x: Tensor) -> Tensor:
        entered = torch.relu(self.enter(x))
        return torch.relu(entered + self.inner(entered))


class BoundaryNet(nn.Module):
    """Image `(N, 1, X, Y, Z)`, normalised, to logits `(N, channels, X, Y, Z)`: affinities, then descriptors."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        widths, norm = config.widths, config.norm
        pairs = list(pairwise(widths))
        self.first = Residual(1, widths[0], norm)
        self.down = nn.ModuleList(Residual(fine, coarse, norm) for fine, coarse in pairs)
        self.shrink = nn.ModuleList(ConvNorm(coarse, fine, 1, norm) for fine, coarse in pairs)
        self.up = nn.ModuleList(Residual(fine, fine, norm) for fine, _ in pairs)
        self.last = nn.Conv3d(widths[0], config.channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        levels = [self.first(x)]
        for module in self.down:
            levels.append(module(nn.functional.max_pool3d(levels[-1], self.config.pooling[len(levels) - 1])))
        current = levels.pop()
        for shrink, module in zip(reversed(self.shrink), reversed(self.up), strict=True):
            # Narrowing before enlarging: the 1x1x1 convolution commutes with the interpolation and costs 8 times less.
            grown = [float(step) for step in self.config.pooling[len(levels) - 1]]
            enlarged = nn.functional.interpolate(
                shrink(current), scale_factor=grown, mode="trilinear", align_corners=False
            )
            current = module(enlarged + levels.pop())
        logits: Tensor = self.last(current)
        return logits


def fold_norms(net: BoundaryNet) -> BoundaryNet:
    """Fold every BatchNorm into its convolution, in place; the net must be in `eval` mode."""
    if net.training:
        raise PermanentError("fold_norms: the net is in training mode; call net.eval() first")
    for module in net.modules():
        if isinstance(module, ConvNorm):
            module.fold()
    return net
