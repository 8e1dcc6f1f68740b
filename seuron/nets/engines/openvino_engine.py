"""Nets run by OpenVINO, which is the fastest on processors of x86-64. It is not asked over the network."""

from __future__ import annotations

from typing import Literal

import numpy as np
import openvino
from numpy.typing import NDArray

from seuron.errors import PermanentError
from seuron.nets.engines import EngineName, Precision, layout
from seuron.nets.engines.conversion import openvino_graph
from seuron.nets.engines.processor import hardware_bf16
from seuron.nets.models import ModelDescription, ModelFile


class OpenVinoEngine:
    """A compiled graph on the processor."""

    name: EngineName = "openvino"

    def __init__(self, model: ModelFile, precision: Precision | Literal["auto"], device: str, threads: int) -> None:
        """Raises PermanentError for a net that OpenVINO cannot read or compile, or another device."""
        if device != "cpu":
            raise PermanentError(f"engine openvino: got device {device!r}; it runs on 'cpu'")
        self.description: ModelDescription = model.description
        chosen: Precision = ("bf16" if hardware_bf16() else "fp32") if precision == "auto" else precision
        self.precision: Precision = chosen
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if chosen == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # tasks that share a machine would all be bound to its first core
        }
        core = openvino.Core()
        try:
            compiled = core.compile_model(openvino_graph(core, model), "CPU", settings)
        except RuntimeError as error:
            raise PermanentError(
                f"{model.path}: OpenVINO cannot run it ({layout.last_line(error)}); use the engine torch or onnx"
            ) from error
        if len(compiled.inputs) != 1:
            raise PermanentError(f"the net {model.path} has {len(compiled.inputs)} inputs; nets of one are run")
        self._outputs = len(compiled.outputs)
        self._request = compiled.create_infer_request()

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """The outputs `(N, K, X, Y, Z)` of a batch `(N, C, X, Y, Z)`; see `Engine`."""
        return layout.run_patches(self.description, batch, self._tensors)

    def _tensors(self, given: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        try:
            found = self._request.infer([given], share_inputs=True)
        except RuntimeError as error:
            raise layout.refusal(self.description, given.shape, error) from error
        return [np.asarray(found[number]) for number in range(self._outputs)]
