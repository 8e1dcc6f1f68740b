"""Curves and pictures of a training for TensorBoard, in its folder: `tensorboard --logdir OUT.training/curves`."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seuron.training.file import TrainingFile
from seuron.training.loss import PatchTensors

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

log = logging.getLogger(__name__)


class Curves:
    """Writes numbers and pictures by step; nothing where TensorBoard is not installed."""

    def __init__(self, writer: SummaryWriter | None) -> None:
        self._writer = writer

    @classmethod
    def of(cls, training: TrainingFile, step: int, writes: bool) -> Curves:
        """Those of a training from a step on; what was written for later ones, before a kill, is not shown."""
        if not writes:
            return cls(None)
        if find_spec("tensorboard") is None:
            log.info("no curves: TensorBoard is not installed (pip install 'seuron[training]')")
            return cls(None)
        from torch.utils.tensorboard import SummaryWriter

        return cls(SummaryWriter(str(training.folder / "curves"), purge_step=step))

    def number(self, name: str, value: float, step: int) -> None:
        """A point of a curve."""
        if self._writer is not None:
            self._writer.add_scalar(name, value, step)

    def picture(self, name: str, picture: npt.NDArray[np.uint8], step: int) -> None:
        """A picture `(height, width)`."""
        if self._writer is not None:
            self._writer.add_image(name, picture[None], step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.close()


def validation_picture(batch: PatchTensors, logits: Tensor) -> npt.NDArray[np.uint8]:
    """The middle section of the first patch: its image, its true affinities along x, and the predicted ones.

    Args:
        batch: image and targets.
        logits: `(1, K, X, Y, Z)` of its first patch.

    Returns:
        uint8 `(Y, 3 X)`.
    """
    middle = batch.image.shape[4] // 2
    grey = torch.clamp(batch.image[0, 0, :, :, middle] / 6 + 0.5, 0, 1)
    truth = batch.targets[0, 0, :, :, middle] * (batch.weights[0, 0, :, :, middle] > 0)
    found = torch.sigmoid(logits[0, 0, :, :, middle].float().cpu())
    row = torch.cat([grey, truth, found]).T
    return np.asarray((row * 255).round().numpy(), np.uint8)
