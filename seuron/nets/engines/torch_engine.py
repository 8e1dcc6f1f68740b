"""Nets run by torch, on a processor or with CUDA."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seuron.errors import PermanentError
from seuron.nets.checkpoint import load_checkpoint
from seuron.nets.engines import EngineName, Precision
from seuron.nets.engines.batches import check_batch
from seuron.nets.engines.processor import hardware_bf16
from seuron.nets.models import ModelDescription, ModelFile, OutputLayer
from seuron.nets.network import BoundaryNet, fold_norms


class TorchEngine:
    """A module in its number type and memory format, on its device."""

    name: EngineName = "torch"

    def __init__(self, description: ModelDescription, net: nn.Module, dtype: torch.dtype, device: str) -> None:
        self.description = description
        self.precision: Precision = "bf16" if dtype == torch.bfloat16 else "fp32"
        self._device, self._dtype = device, dtype
        self._net = net.eval().to(device, dtype).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    @classmethod
    def load(cls, model: ModelFile, precision: Precision | Literal["auto"], device: str, threads: int) -> TorchEngine:
        """The engine of a model's weights; raises PermanentError for a precision or device that is not known."""
        torch.set_num_threads(threads)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device.startswith("cuda"):
            # cudnn's search may pick another algorithm, with other roundings, in another process.
            torch.backends.cudnn.benchmark = False
            torch.backends.cudnn.deterministic = True
        net = used_outputs(fold_norms(load_checkpoint(model.path)[0]), model.description.channels)
        return cls(model.description, net, choose_dtype(precision, device), device)

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """The outputs `(N, K, X, Y, Z)` of a batch `(N, C, X, Y, Z)`; see `Engine`."""
        check_batch(self.description, batch)
        outputs = np.empty((batch.shape[0], self.description.channels, *batch.shape[2:]), np.float32)
        with torch.inference_mode():
            # One patch at a time: a library may choose its algorithm by the size of the batch, and round otherwise.
            for index in range(len(batch)):
                patch = torch.from_numpy(np.ascontiguousarray(batch[index : index + 1])).to(self._device, self._dtype)
                raw = self._net(patch.contiguous(memory_format=torch.channels_last_3d))
                outputs[index] = finished(raw.float()[0], self.description).cpu().numpy()
        return outputs


def choose_dtype(precision: Precision | Literal["auto"], device: str) -> torch.dtype:
    """The number type a net runs in; raises PermanentError for an unknown precision."""
    if precision == "auto":
        able = torch.cuda.is_bf16_supported() if device.startswith("cuda") else hardware_bf16()
        return torch.bfloat16 if able else torch.float32
    if precision not in ("bf16", "fp32"):
        raise PermanentError(f"precision: got {precision!r}; use 'auto', 'bf16' or 'fp32'")
    return torch.bfloat16 if precision == "bf16" else torch.float32


def used_outputs(net: BoundaryNet, channels: int) -> BoundaryNet:
    """Drop the auxiliary outputs of a boundary net, in place: those behind the first `channels`."""
    state = {name: tensor[:channels] for name, tensor in net.last.state_dict().items()}
    net.last = nn.Conv3d(net.last.in_channels, channels, 1)
    net.last.load_state_dict(state)
    return net


def finished(raw: Tensor, description: ModelDescription) -> Tensor:
    """A patch's outputs `(K, X, Y, Z)`, float32, as the description of their layers has them."""
    parts, first = [], 0
    for layer in description.outputs:
        parts.append(_finished_layer(raw[first : first + len(layer.channels)], layer))
        first += len(layer.channels)
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _finished_layer(values: Tensor, layer: OutputLayer) -> Tensor:
    if layer.activation == "sigmoid":
        values = torch.sigmoid(values)
    elif layer.activation == "softmax":
        values = torch.softmax(values, dim=0)
    if layer.targets is not None:
        low, high = layer.targets
        values = (values - low) / (high - low)
    return values.clamp(*layer.range)
