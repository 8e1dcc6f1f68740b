"""The U-Net of the first MICrONS release, for synaptic clefts and partners: what enlarges is interpolation.

Turner et al. 2020 (arXiv:1909.02066) describe it: modules of three convolutions with a skip from the first to the
third, ELU, BatchNorm, pooling in the plane of the sections only, and summed skips between the two sides. Names of
weights are those of the files that its authors published, so those load as they are. Where the skips are added was
found by the statistics that the files hold: with any other place they differ more from those of an image.

Tensors are `(N, C, Z, Y, X)`. Its authors ran it with the statistics of each patch, not the stored ones, which do not
fit its weights: `statistics="batch"`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import elu

FLAT, FULL = (1, 3, 3), (3, 3, 3)


class PlainConv(nn.Module):
    """A convolution that keeps the size."""

    def __init__(self, inputs: int, outputs: int, kernel: Sequence[int], bias: bool) -> None:
        super().__init__()
        z, y, x = kernel
        self.conv = nn.Conv3d(inputs, outputs, (z, y, x), padding=(z // 2, y // 2, x // 2), bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv(x)
        return result


class OuterConv(nn.Module):
    """A convolution with bias, as the first, the embedding and the outputs are."""

    def __init__(self, inputs: int, outputs: int, kernel: Sequence[int]) -> None:
        super().__init__()
        self.conv = PlainConv(inputs, outputs, kernel, True)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv(x)
        return result


class ThreeConvs(nn.Module):
    """Three convolutions, each with BatchNorm and ELU, and a skip from the first to the third."""

    def __init__(self, inputs: int, outputs: int, kernels: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.conv1 = PlainConv(inputs, outputs, kernels[0], False)
        self.conv2 = PlainConv(outputs, outputs, kernels[1], False)
        self.conv3 = PlainConv(outputs, outputs, kernels[2], False)
        self.bn1, self.bn2, self.bn3 = (nn.BatchNorm3d(outputs) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        first = elu(self.bn1(self.conv1(x)))
        second = elu(self.bn2(self.conv2(first)))
        return elu(self.bn3(self.conv3(second) + first))


class ResizeConv(nn.Module):
    """Twice the size in the plane by interpolation, then a convolution to another width."""

    def __init__(self, inputs: int, outputs: int, kernel: Sequence[int]) -> None:
        super().__init__()
        self.conv = PlainConv(inputs, outputs, kernel, False)

    def forward(self, x: Tensor) -> Tensor:
        enlarged = nn.functional.interpolate(x, scale_factor=(1, 2, 2), mode="nearest")
        result: Tensor = self.conv(enlarged)
        return result


class ResizeModule(nn.Module):
    """A level of the way up: enlarge, add the level of the way down, three convolutions."""

    def __init__(self, coarse: int, fine: int, kernels: Sequence[Sequence[int]], kernel: Sequence[int]) -> None:
        super().__init__()
        self.upsampling = ResizeConv(coarse, fine, kernel)
        self.bn1 = nn.BatchNorm3d(fine)
        self.convmod = ThreeConvs(fine, fine, kernels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        result: Tensor = self.convmod(elu(self.bn1(self.upsampling(x) + skip)))
        return result


class ResizeUNet(nn.Module):
    """Inputs `(N, C, Z, Y, X)` to logits `(N, K, Z, Y, X)`; y and x are multiples of `2^(levels - 1)`.

    Args:
        widths: channels of each level, finest first.
        inputs: input channels C.
        outputs: K.
        label: what the file calls the outputs.
        statistics: `batch` normalises by each patch's own mean and variance, `stored` by those of the file.
    """

    def __init__(
        self,
        widths: Sequence[int],
        inputs: int,
        outputs: int,
        label: str,
        statistics: Literal["batch", "stored"] = "batch",
    ) -> None:
        super().__init__()
        self.levels = len(widths)
        self.inputconv = OuterConv(inputs, widths[0], (1, 5, 5))
        for level, width in enumerate(widths):
            kernels = (FLAT, FLAT, FLAT) if level == 0 else (FLAT, FULL, FULL)
            self.add_module(f"convmod{level}", ThreeConvs(widths[max(0, level - 1)], width, kernels))
        for level in range(self.levels - 1):
            kernels, kernel = ((FLAT, FLAT, FLAT), FLAT) if level == 0 else ((FLAT, FULL, FULL), FULL)
            self.add_module(f"rszconvmod{level}", ResizeModule(widths[level + 1], widths[level], kernels, kernel))
        self.embedconv = OuterConv(widths[0], widths[0], FLAT)
        self.outputdeconv = nn.ModuleDict({label: PlainConv(widths[0], outputs, (1, 5, 5), True)})
        self._label = label
        for module in self.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.track_running_stats = False  # the file's BatchNorms do not count batches
                module.num_batches_tracked = None
                if statistics == "batch":
                    module.running_mean = module.running_var = None

    def forward(self, x: Tensor) -> Tensor:
        current = elu(self.inputconv(x))
        levels: list[Tensor] = []
        for level in range(self.levels):
            if level:
                current = nn.functional.max_pool3d(current, (1, 2, 2))
            current = self.get_submodule(f"convmod{level}")(current)
            levels.append(current)
        current = levels.pop()
        for level in range(self.levels - 2, -1, -1):
            current = self.get_submodule(f"rszconvmod{level}")(current, levels.pop())
        logits: Tensor = self.outputdeconv[self._label](elu(self.embedconv(current)))
        return logits
