"""What runs a net: torch, ONNX Runtime or OpenVINO behind one class of objects.

    engine = load_engine("boundary-fib25", threads=1)
    values = engine.run(batch)

The outputs of two engines differ by roundings, so a run names the one it began with (`engine.name` and
`engine.precision`) in its facts and uses no other. Import of this module loads no engine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from seuron.errors import PermanentError
from seuron.nets.models import ModelDescription, open_model

EngineName = Literal["torch", "onnx", "openvino"]
Precision = Literal["bf16", "fp32"]


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
            range of their layers.

        Raises:
            PermanentError: the batch is of another shape.
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
        precision: `auto` takes bf16 where the hardware multiplies it.
        device: `auto` takes CUDA where there is one; `cpu`, or a torch device's name.
        threads: of the engine; one for each task leaves a machine's cores to tasks.

    Raises:
        NotFoundError: there is no such net.
        PermanentError: it cannot be read or run.
    """
    if threads < 1:
        raise PermanentError(f"threads: got {threads}; use at least 1")
    found = open_model(model)
    if engine not in ("auto", "torch"):
        raise PermanentError(f"engine: got {engine!r}; use 'auto' or 'torch'")
    from seuron.nets.engines.torch_engine import TorchEngine

    return TorchEngine.load(found, precision, device, threads)
