"""What is minimised: binary cross-entropy of affinities, and the squared error of shape descriptors.

The loss of a batch is the mean of its patches' losses, so a batch in parts, or in several processes, has the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seuron.training.file import LossChoice


@dataclass(frozen=True)
class PatchTensors:
    """A batch of patches, float32.

    Attributes:
        image: `(N, 1, X, Y, Z)`.
        targets: `(N, C, X, Y, Z)`, affinities moved inwards by the margin.
        weights: of the affinities' errors, same shape; 0 where they are not known.
        descriptors: `(N, 10, X, Y, Z)`, or with 0 channels for a net without them.
        described: `(N, 1, X, Y, Z)`, 1 where the descriptors are known.
    """

    image: Tensor
    targets: Tensor
    weights: Tensor
    descriptors: Tensor
    described: Tensor

    def to(self, device: str) -> PatchTensors:
        """The batch on a device."""
        return PatchTensors(*(tensor.to(device) for tensor in vars(self).values()))

    def patch(self, number: int) -> PatchTensors:
        """One patch as a batch."""
        return PatchTensors(*(tensor[number : number + 1] for tensor in vars(self).values()))


def batch_loss(logits: Tensor, batch: PatchTensors, choice: LossChoice) -> Tensor:
    """The mean loss of a batch's patches; a patch in which nothing is known adds 0.

    Args:
        logits: `(N, C + descriptors, X, Y, Z)`.
        batch: on the same device.
        choice: the weight of the descriptors.
    """
    channels = batch.targets.shape[1]
    entropy = nn.functional.binary_cross_entropy_with_logits(
        logits[:, :channels].float(), batch.targets, weight=batch.weights, reduction="none"
    )
    loss = _patch_means(entropy, batch.weights)
    if batch.descriptors.shape[1]:
        squares = (torch.sigmoid(logits[:, channels:].float()) - batch.descriptors) ** 2 * batch.described
        known = batch.described.expand_as(squares)
        loss = loss + choice.descriptors * _patch_means(squares, known)
    return loss.mean()


def _patch_means(errors: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean of each patch, `(N,)`; the errors are weighted already."""
    return errors.flatten(1).sum(1) / weights.flatten(1).sum(1).clamp_min(1.0)
