"""The loss of a batch is the mean of its patches' weighted means, over what is known."""

from __future__ import annotations

import numpy as np
import torch

from seuron.training.file import LossChoice
from seuron.training.loss import PatchTensors, batch_loss


def batch_of(weights: torch.Tensor, described: torch.Tensor, channels: int = 10) -> PatchTensors:
    generator = torch.Generator().manual_seed(0)
    shape = weights.shape
    image = torch.rand(shape[0], 1, *shape[2:], generator=generator)
    targets = (torch.rand(shape, generator=generator) > 0.5) * 0.8 + 0.1
    shapes = torch.rand(shape[0], channels, *shape[2:], generator=generator)
    return PatchTensors(image, targets, weights, shapes, described)


def test_the_loss_is_what_its_definition_gives() -> None:
    """Cross-entropy of each affinity times its weight over their sum, and squares of the described voxels."""
    weights = torch.rand(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(1)) + 1
    described = torch.ones(2, 1, 4, 4, 4)
    batch = batch_of(weights, described)
    logits = torch.randn(2, 13, 4, 4, 4, generator=torch.Generator().manual_seed(2))
    p = 1 / (1 + np.exp(-logits.numpy().astype(float)))
    t, w = batch.targets.numpy(), weights.numpy()
    entropy = -(t * np.log(p[:, :3]) + (1 - t) * np.log(1 - p[:, :3]))
    squares = (p[:, 3:] - batch.descriptors.numpy()) ** 2
    each = [(entropy[n] * w[n]).sum() / w[n].sum() + 0.5 * squares[n].mean() for n in range(2)]
    found = batch_loss(logits, batch, LossChoice(descriptors=0.5))
    np.testing.assert_allclose(float(found), np.mean(each), rtol=1e-5)


def test_what_is_not_known_has_no_gradient() -> None:
    """Masked affinities and voxels of no body do not move a weight, and a patch without any adds nothing."""
    weights, described = torch.ones(2, 3, 4, 4, 4), torch.ones(2, 1, 4, 4, 4)
    weights[0, :, 2:], described[0, :, 2:] = 0, 0
    weights[1], described[1] = 0, 0
    logits = torch.randn(2, 13, 4, 4, 4, requires_grad=True)
    batch_loss(logits, batch_of(weights, described), LossChoice()).backward()
    assert logits.grad is not None
    assert not logits.grad[0, :, 2:].any()
    assert not logits.grad[1].any()
    assert logits.grad[0, :, :2].all()


def test_the_loss_of_a_batch_is_the_mean_of_its_parts() -> None:
    """So that accumulation and several processes train as one large batch does."""
    batch = batch_of(torch.rand(4, 3, 4, 4, 4), torch.ones(4, 1, 4, 4, 4), channels=0)
    logits = torch.randn(4, 3, 4, 4, 4)
    parts = [batch_loss(logits[n : n + 1], batch.patch(n), LossChoice()) for n in range(4)]
    torch.testing.assert_close(batch_loss(logits, batch, LossChoice()), torch.stack(parts).mean())
