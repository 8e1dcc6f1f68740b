"""Nets run by ONNX Runtime: ONNX files as they are, seuron's own through an export."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from seuron.errors import PermanentError
from seuron.nets.engines import EngineName, Precision, layout
from seuron.nets.models import ModelDescription, ModelFile

#: Of ONNX Runtime's log: only what ends the program; errors are raised as well.
_FATAL = 4
#: What ONNX Runtime raises; its own exceptions have no base of theirs.
_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(
        found
        for found in vars(onnxruntime.capi.onnxruntime_pybind11_state).values()
        if isinstance(found, type) and issubclass(found, Exception)
    ),
)


class OnnxEngine:
    """A session of ONNX Runtime, in fp32."""

    name: EngineName = "onnx"
    precision: Precision = "fp32"

    def __init__(self, model: ModelFile, precision: Precision | Literal["auto"], device: str, threads: int) -> None:
        """Raises PermanentError for a net that ONNX Runtime cannot read, or a precision that it does not have."""
        if precision == "bf16":
            raise PermanentError("engine onnx: it runs in fp32; use precision 'auto' or 'fp32', or another engine")
        self.description: ModelDescription = model.description
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = _FATAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = ["CPUExecutionProvider"]
        if device.startswith("cuda") and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            providers.insert(0, "CUDAExecutionProvider")
        self._session = _session(model, options, providers)
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(found.name for found in inputs)
            raise PermanentError(f"the net {model.path} has {len(inputs)} inputs ({names}); nets of one are run")
        self._input = inputs[0].name
        check_shape(self.description, str(model.path), inputs[0].shape)

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """The outputs `(N, K, X, Y, Z)` of a batch `(N, C, X, Y, Z)`; see `Engine`."""
        return layout.run_patches(self.description, batch, self._tensors)

    def _tensors(self, given: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        try:
            found: list[NDArray[np.float32]] = self._session.run(None, {self._input: given})
        except _ERRORS as error:
            raise layout.refusal(self.description, given.shape, error) from error
        return found


def check_shape(description: ModelDescription, what: str, shape: list[Any]) -> None:
    """Raise PermanentError where the shape of a graph's input contradicts the description: all axes at once.

    Args:
        shape: a number for each axis that is fixed, anything else for one that is not.
    """
    if len(shape) != len(description.axes):
        raise PermanentError(
            f"the net {what} has an input of {len(shape)} axes {shape}; its description says {description.axes!r}"
        )
    patch = dict(zip("xyz", description.patch.default, strict=True))
    given = {"c": len(description.inputs), **patch}
    wrong = [
        f"{size} along {axis}, and the description {given[axis]}"
        for axis, size in zip(description.axes, shape, strict=True)
        if isinstance(size, int) and axis != "b" and size != given[axis]
    ]
    if wrong:
        raise PermanentError(f"the net {what} takes {'; '.join(wrong)}: correct `inputs`, `axes` or `patch`")


def _session(model: ModelFile, options: Any, providers: list[str]) -> Any:
    if model.format == "torchscript":
        raise PermanentError(f"engine onnx: {model.path} is TorchScript; use the engine torch")
    if model.format == "own":
        from seuron.nets.engines.conversion import onnx_content

        content = onnx_content(model)
    else:
        content = model.read_weights()
    try:
        return onnxruntime.InferenceSession(content, options, providers)
    except _ERRORS as error:
        raise PermanentError(
            f"{model.path}: ONNX Runtime cannot load it ({error}); it is damaged, too new, or keeps weights in "
            "another file (export it as one)"
        ) from error
