"""Several processes that train one net, as `torchrun` starts them: each has its own patches, all have the same weights.

A step of N processes with batches of B is that of one process with batches of N x B, but for roundings: gradients are
averaged, and batch normalisation takes the statistics of all processes' patches.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn


@dataclass(frozen=True)
class Processes:
    """How many there are, and which one this is; 0 writes files."""

    rank: int = 0
    count: int = 1

    @property
    def writes(self) -> bool:
        """Whether this one writes files and messages."""
        return self.rank == 0

    def average(self, tensors: list[Tensor]) -> None:
        """The mean of each tensor over all processes, in place; one message for all of them."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        flat /= self.count
        for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def mean(self, value: float) -> float:
        """The mean of a number over all processes: the same in each."""
        if self.count == 1:
            return value
        held = torch.tensor([value], dtype=torch.float64)
        distributed.all_reduce(held)
        return float(held) / self.count

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            distributed.barrier()


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """The processes that `torchrun` has started, connected by gloo; one alone without it."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Processes(distributed.get_rank(), count)
    finally:
        distributed.destroy_process_group()


class SharedBatchNorm(nn.BatchNorm3d):
    """Batch normalisation with the statistics of all processes' patches. torch's own works on GPUs only."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        from torch.distributed.nn.functional import all_reduce  # gradients go through it

        values = x.float()
        axes = (0, 2, 3, 4)
        count = values.numel() // values.shape[1] * distributed.get_world_size()
        sums: Tensor = all_reduce(torch.stack([values.sum(axes), (values * values).sum(axes)]))  # type: ignore[no-untyped-call]
        mean = sums[0] / count
        variance = (sums[1] / count - mean * mean).clamp_min(0.0)
        self._remember(mean.detach(), variance.detach() * count / max(1, count - 1))
        factor = self.weight * torch.rsqrt(variance + self.eps)
        shape = (1, -1, 1, 1, 1)
        result: Tensor = (values - mean.view(shape)) * factor.view(shape) + self.bias.view(shape)
        return result.to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.running_mean.lerp_(mean, self.momentum or 0.1)
        self.running_var.lerp_(variance, self.momentum or 0.1)
        self.num_batches_tracked += 1


def share_norms(net: nn.Module, processes: Processes) -> None:
    """Put `SharedBatchNorm` in the place of every batch normalisation, where there are several processes."""
    if processes.count == 1:
        return
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.BatchNorm3d:
                shared = SharedBatchNorm(child.num_features, child.eps, child.momentum)
                shared.load_state_dict(child.state_dict())
                setattr(parent, name, shared)
