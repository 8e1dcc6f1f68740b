"""The training loop: labelled volumes in, a boundary net and its record out.

The recipe makes a small net useful within minutes on a CPU: AdamW with warm-up and cosine, clipped
gradients, bf16, targets 0.9 and 0.1, each channel's classes balanced in each patch, long-range
affinities as auxiliary task. One seed fixes weights, patches and augmentation; the result is the same
on one machine and torch version at one thread count.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seuron.box import Box
from seuron.errors import PermanentError
from seuron.nets.augmentation import Orientation, vary_grey, vary_sections
from seuron.nets.network import TARGET_MARGIN, BoundaryNet, NetworkConfig
from seuron.nets.targets import affinity_targets, balance_weights, grow_boundaries, small_bodies
from seuron.nets.training_data import TrainingVolume

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Attributes:
        volumes: where patches come from.
        steps: optimiser steps.
        patch_size: voxels along x, y, z; multiples of the net's granularity.
        batch_size: patches a step.
        learning_rate: the peak, after warm-up.
        warmup_steps: steps of linear warm-up.
        weight_decay: AdamW's.
        clip_norm: largest norm of the gradient.
        minimum_body: bodies of fewer voxels are left out of the loss.
        bf16: mixed precision by autocast.
        seed: fixes everything random.
        threads: torch's threads.
        device: a torch device, `cpu` or `cuda`.
        network: the net's shape.
    """

    volumes: Sequence[TrainingVolume]
    steps: int = 1500
    patch_size: tuple[int, int, int] = (64, 64, 64)
    batch_size: int = 2
    learning_rate: float = 2e-3
    warmup_steps: int = 50
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    minimum_body: int = 100
    bf16: bool = True
    seed: int = 0
    threads: int = 1
    device: str = "cpu"
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def __post_init__(self) -> None:
        if not self.volumes:
            raise PermanentError("training: no volumes; give at least one image with labels")
        if any(size % self.network.granularity or size <= 0 for size in self.patch_size):
            raise PermanentError(
                f"training patch_size: got {self.patch_size}; each side must be a positive multiple of "
                f"{self.network.granularity}"
            )
        weights = [volume.weight for volume in self.volumes]
        if min(weights) < 0 or sum(weights) == 0:
            raise PermanentError(f"training volumes: got weights {weights}; none may be negative, one must be positive")
        for volume in self.volumes:
            if any(a < b for a, b in zip(volume.image.shape, self.patch_size, strict=True)):
                raise PermanentError(
                    f"training volume {volume.name}: {volume.image.shape} voxels hold no patch of "
                    f"{self.patch_size}; lower patch_size"
                )
        if min(self.steps, self.batch_size, self.threads) < 1:
            raise PermanentError("training: steps, batch_size and threads must be at least 1")

    def record(self) -> dict[str, Any]:
        """The recipe without the arrays, JSON-ready, for the weights' metadata."""
        names = [f"{v.name} {'x'.join(map(str, v.image.shape))} weight {v.weight:g}" for v in self.volumes]
        fields = {k: getattr(self, k) for k in self.__dataclass_fields__ if k not in ("volumes", "network")}
        resolutions = sorted({tuple(map(float, v.resolution)) for v in self.volumes})
        return {"volumes": names, "resolutions_nm": resolutions, **fields, "network": self.network.as_dict()}


@dataclass(frozen=True)
class TrainingResult:
    """A trained net, not folded, in eval mode, and the loss of every step."""

    net: BoundaryNet
    losses: tuple[float, ...]
    cpu_seconds: float
    config: TrainingConfig


@dataclass(frozen=True)
class PatchTensors:
    """A batch: image `(N, 1, X, Y, Z)`, targets and weights `(N, C, X, Y, Z)`, all float32."""

    image: Tensor
    targets: Tensor
    weights: Tensor


class PatchSampler:
    """Draws augmented patches from volumes that were prepared once."""

    def __init__(self, config: TrainingConfig, rng: np.random.Generator) -> None:
        self.config, self.rng = config, rng
        weights = np.array([volume.weight for volume in config.volumes])
        self.share = weights / weights.sum()
        self.images = [volume.normalisation().apply(volume.image) for volume in config.volumes]
        self.grown = [grow_boundaries(volume.labels) for volume in config.volumes]
        self.known = [_known(volume, config.minimum_body) for volume in config.volumes]

    def batch(self) -> PatchTensors:
        """The next batch."""
        parts = [self._patch() for _ in range(self.config.batch_size)]
        image, targets, weights = (torch.from_numpy(np.stack(part)) for part in zip(*parts, strict=True))
        return PatchTensors(image, targets, weights)

    def _patch(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        config, rng = self.config, self.rng
        index = int(rng.choice(len(self.share), p=self.share))
        orientation = Orientation(rng, config.volumes[index].resolution, config.patch_size)
        room = [n - s for n, s in zip(self.images[index].shape, config.patch_size, strict=True)]
        start = [int(rng.integers(r + 1)) for r in room]
        cut = Box.from_shape(start, config.patch_size).slices
        image = orientation.apply(self.images[index][cut])
        image = vary_sections(vary_grey(np.ascontiguousarray(image), rng), rng)
        grown, known = orientation.apply(self.grown[index][cut]), orientation.apply(self.known[index][cut])
        affinities, mask = affinity_targets(grown, known, config.network.offsets)
        targets = TARGET_MARGIN + (1 - 2 * TARGET_MARGIN) * affinities
        return image[None], targets.astype(np.float32), balance_weights(affinities, mask)


def train(config: TrainingConfig) -> TrainingResult:
    """Train a boundary net; logs the mean loss of every 50 steps."""
    started = time.process_time()
    torch.manual_seed(config.seed)
    torch.set_num_threads(config.threads)
    sampler = PatchSampler(config, np.random.default_rng(config.seed))
    net = BoundaryNet(config.network).to(config.device).to(memory_format=torch.channels_last_3d).train()  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(net.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_factor(step, config))
    losses: list[float] = []
    for step in range(config.steps):
        loss = _loss(net, sampler.batch(), config)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), config.clip_norm)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise PermanentError(f"training diverged at step {step}: the loss is {losses[-1]}; lower learning_rate")
        if (step + 1) % 50 == 0:
            log.info("step %d of %d: loss %.4f", step + 1, config.steps, float(np.mean(losses[-50:])))
    return TrainingResult(net.cpu().eval(), tuple(losses), time.process_time() - started, config)


def rate_factor(step: int, config: TrainingConfig) -> float:
    """The learning rate of a step over the peak: linear warm-up, then a cosine to 1 %."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _loss(net: BoundaryNet, batch: PatchTensors, config: TrainingConfig) -> Tensor:
    """Weighted binary cross-entropy, a mean over the weights, so its scale is the patch's own."""
    image = batch.image.to(config.device).to(memory_format=torch.channels_last_3d)
    targets, weights = batch.targets.to(config.device), batch.weights.to(config.device)
    with torch.autocast(torch.device(config.device).type, torch.bfloat16, enabled=config.bf16):
        logits = net(image)
    entropy = nn.functional.binary_cross_entropy_with_logits(logits.float(), targets, weight=weights, reduction="sum")
    return entropy / weights.sum().clamp_min(1.0)


def _known(volume: TrainingVolume, minimum_body: int) -> npt.NDArray[np.bool_]:
    known = ~small_bodies(volume.labels, minimum_body)
    if volume.zero == "unknown":
        known &= volume.labels != 0
    return known
