"""Nets run by torch, on a processor or with CUDA."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from seuron.errors import PermanentError, RunError
from seuron.nets.engines import EngineName, Precision, layout
from seuron.nets.engines.modules import load_module
from seuron.nets.engines.processor import hardware_bf16
from seuron.nets.models import ModelDescription, ModelFile


class TorchEngine:
    """A module in its number type and memory format, on its device."""

    name: EngineName = "torch"

    def __init__(self, model: ModelFile, precision: Precision | Literal["auto"], device: str, threads: int) -> None:
        """Raises PermanentError for a net that torch does not read, or a device that is not there."""
        torch.set_num_threads(threads)
        if device.startswith("cuda"):
            # cudnn's search may pick another algorithm, with other roundings, in another process.
            torch.backends.cudnn.benchmark = False
            torch.backends.cudnn.deterministic = True
        self.description: ModelDescription = model.description
        self.precision: Precision = _precision(model, precision, device)
        self._device = device
        self._dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        self._format = torch.channels_last_3d if "z" in self.description.axes else torch.channels_last
        try:
            net = load_module(model, device).to(device, self._dtype)
        except (RuntimeError, AssertionError) as error:
            raise PermanentError(f"the net {model.path} cannot be put on the device {device}: {error}") from error
        self._channels_first = self.description.axes.startswith("bc")
        if model.format == "own":
            net = net.to(memory_format=self._format)  # type: ignore[call-overload]
        self._net = net

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """The outputs `(N, K, X, Y, Z)` of a batch `(N, C, X, Y, Z)`; see `Engine`."""
        with torch.inference_mode():
            return layout.run_patches(self.description, batch, self._tensors)

    def _tensors(self, patch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        given = torch.from_numpy(patch).to(self._device, self._dtype)
        if self._channels_first:
            given = given.contiguous(memory_format=self._format)
        try:
            found = self._in_memory(given)
        except torch.OutOfMemoryError as error:
            raise RunError(
                f"the device {self._device} has no memory for one patch of {' x '.join(map(str, given.shape))} of the "
                f"net {self.description.name}; wait until others on it have ended, or give a smaller `patch_size`"
            ) from error
        except RuntimeError as error:
            raise layout.refusal(self.description, given.shape, error) from error
        tensors = list(found) if isinstance(found, (tuple, list)) else [found]
        return [tensor.float().cpu().numpy() for tensor in tensors]

    def _in_memory(self, given: torch.Tensor) -> Any:
        """What the net gives for a patch. A batch is one patch here, so all that can be given up is torch's cache."""
        try:
            return self._net(given)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            return self._net(given)


def _precision(model: ModelFile, precision: Precision | Literal["auto"], device: str) -> Precision:
    if precision != "auto":
        return precision
    if model.format != "own":
        return "fp32"  # a program of others may hold numbers of one type
    able = torch.cuda.is_bf16_supported() if device.startswith("cuda") else hardware_bf16()
    return "bf16" if able else "fp32"
