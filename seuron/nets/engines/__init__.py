"""What runs a net: torch, ONNX Runtime or OpenVINO behind one class of objects.

    engine = load_engine("boundary-fib25", threads=1)
    values = engine.run(batch)

The outputs of two engines differ by roundings, so a run names the one it began with (`engine.name` and
`engine.precision`) in its facts and uses no other. Import of this module loads no engine.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from seuron.errors import PermanentError
from seuron.nets.models import ModelDescription, ModelFile, open_model

EngineName = Literal["torch", "onnx", "openvino"]
Precision = Literal["bf16", "fp32"]
ENGINES: tuple[EngineName, ...] = ("torch", "onnx", "openvino")

#: What a library's package is called, for an engine that is not installed.
_PACKAGES = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}
_NVIDIA = Path("/dev/nvidiactl")


class Engine(Protocol):
    """A net with its weights, ready to run, of one process and one thread that calls it.

    Attributes:
        description: of the net.
        name: which library runs it.
        precision: what `auto` came to.
    """

    description: ModelDescription
    name: EngineName
    precision: Precision

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """The outputs of a batch of patches, each patch's the same whatever else is in the batch.

        Args:
            batch: `(N, C, X, Y, Z)`, C the net's inputs, scaled as `description.scale` says; of a shape that
                `description.patch.problems` has nothing against.

        Returns:
            float32 `(N, K, X, Y, Z)`: the channels of all outputs in order, activations applied, targets undone, in the
            range of their layers. NaN stays.

        Raises:
            PermanentError: the batch is of another shape, or the net gives other channels than it is said to.
        """
        ...


def load_engine(
    model: str | Path,
    engine: EngineName | Literal["auto"] = "auto",
    precision: Precision | Literal["auto"] = "auto",
    device: str = "auto",
    threads: int = 1,
) -> Engine:
    """A net, ready to run.

    Args:
        model: name or path.
        engine: `auto` takes the fastest that is installed and can run this net.
        precision: `auto` takes bf16 where the hardware multiplies it and the engine has it.
        device: `auto` takes CUDA where there is one; `cpu`, or a torch device's name.
        threads: of the engine; one for each task leaves a machine's cores to tasks.

    Raises:
        NotFoundError: there is no such net.
        PermanentError: it cannot be read or run.
    """
    if threads < 1:
        raise PermanentError(f"threads: got {threads}; use at least 1")
    if precision not in ("auto", "bf16", "fp32"):
        raise PermanentError(f"precision: got {precision!r}; use 'auto', 'bf16' or 'fp32'")
    # Read by OpenMP when a library loads it: threads that wait for work would otherwise spin, and tasks that share a
    # machine cost one another up to five times their time.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    found = open_model(model)
    device = choose_device(device)
    name = choose_engine(found, device) if engine == "auto" else engine
    if name not in ENGINES:
        raise PermanentError(f"engine: got {engine!r}; use 'auto' or one of {', '.join(ENGINES)}")
    if find_spec(_PACKAGES[name]) is None:
        raise PermanentError(f"engine {name}: {_PACKAGES[name]} is not installed; install it, or use another engine")
    if name == "onnx":
        from seuron.nets.engines.onnx_engine import OnnxEngine

        return OnnxEngine(found, precision, device, threads)
    if name == "openvino":
        from seuron.nets.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(found, precision, device, threads)
    from seuron.nets.engines.torch_engine import TorchEngine

    return TorchEngine(found, precision, device, threads)


def choose_device(device: str) -> str:
    """`cpu` or a CUDA device; torch is asked only where there is a driver."""
    if device != "auto":
        return device
    if not _NVIDIA.exists() or find_spec("torch") is None:
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def choose_engine(model: ModelFile, device: str) -> EngineName:
    """What `auto` comes to for a net: OpenVINO on processors where it is installed, else the library of its format.

    TorchScript, and nets that take each patch's own statistics, stay with torch: not every operator has a counterpart.
    """
    native: EngineName = "onnx" if model.format == "onnx" else "torch"
    if device != "cpu" or model.format == "torchscript" or model.needs_torch or find_spec("openvino") is None:
        return native
    return "openvino"
