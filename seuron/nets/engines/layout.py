"""Between our tensors `(N, C, X, Y, Z)` and a net's: the order of its axes, its sections, and what its outputs mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from seuron.box import Triple, triple
from seuron.errors import PermanentError
from seuron.nets.models import ModelDescription, OutputLayer

Floats = NDArray[np.float32]


def run_patches(description: ModelDescription, batch: Floats, infer: Callable[[Floats], Sequence[Floats]]) -> Floats:
    """The outputs `(N, K, X, Y, Z)` of a batch `(N, C, X, Y, Z)`, finished; see `Engine.run`.

    One patch at a time: a library may choose its algorithm by the size of the batch, and round otherwise.

    Args:
        description: of the net.
        batch: float32.
        infer: the net's tensors of a patch's tensor, in the net's own order of axes.
    """
    check_batch(description, batch)
    outputs = np.empty((batch.shape[0], description.channels, *batch.shape[2:]), np.float32)
    for index, patch in enumerate(batch):
        tensors = infer(net_input(description, patch))
        outputs[index] = finished(our_output(description, tensors, triple(batch.shape[2:])), description)
    return outputs


def refusal(description: ModelDescription, shape: Sequence[int], error: Exception) -> PermanentError:
    """What to raise where a library cannot run a net on a tensor of a shape."""
    return PermanentError(
        f"the net {description.name} cannot run on a tensor of {tuple(shape)} ({description.axes}): "
        f"{last_line(error)}; check `inputs`, `axes` and `patch` of its description"
    )


def last_line(error: Exception) -> str:
    """What an error says in the end: libraries put where it happened before that."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def check_batch(description: ModelDescription, batch: Floats) -> None:
    """Raise PermanentError for a batch that the net does not take, all that is wrong with it at once."""
    expected = len(description.inputs)
    if batch.ndim != 5 or batch.dtype != np.float32:
        raise PermanentError(
            f"the net {description.name}: got {batch.dtype} of {batch.ndim} axes; give float32 (N, C, X, Y, Z)"
        )
    problems = [f"patch of {problem}" for problem in description.patch.problems(triple(batch.shape[2:]))]
    if batch.shape[1] != expected:
        inputs = ", ".join(description.inputs)
        problems.append(f"{batch.shape[1]} input channels; the net has {expected}: {inputs}")
    if problems:
        raise PermanentError(f"the net {description.name}: " + "; ".join(problems))


def net_input(description: ModelDescription, patch: Floats) -> Floats:
    """A patch `(C, X, Y, Z)` as the net's tensor; of a net for sections, they are its batch."""
    ours = patch[None] if "z" in description.axes else np.moveaxis(patch, 3, 0)
    named = "bcxyz" if "z" in description.axes else "bcxy"
    return np.ascontiguousarray(ours.transpose([named.index(axis) for axis in description.axes]))


def our_output(description: ModelDescription, tensors: Sequence[Floats], shape: Triple) -> Floats:
    """The net's tensors for a patch as `(K, X, Y, Z)`; raises PermanentError where they are of another shape."""
    named = "bcxyz" if "z" in description.axes else "bcxy"
    parts = []
    for tensor in tensors:
        if tensor.ndim != len(named):
            raise PermanentError(
                f"the net {description.name} gives a tensor of {tensor.ndim} axes; `axes` {description.axes} says "
                f"{len(named)}"
            )
        ours = tensor.transpose([description.axes.index(axis) for axis in named])
        parts.append(ours[0] if "z" in description.axes else np.moveaxis(ours, 0, 3))
    sizes = {part.shape[1:] for part in parts}
    channels = sum(part.shape[0] for part in parts)
    if sizes != {shape} or channels != description.channels:
        found = " and ".join(f"{part.shape[0]} channels of {' x '.join(map(str, part.shape[1:]))}" for part in parts)
        raise PermanentError(
            f"the net {description.name} gives {found or 'nothing'} for a patch of {' x '.join(map(str, shape))}; its "
            f"`outputs` say {description.channels} channels of the patch's size"
        )
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def finished(raw: Floats, description: ModelDescription) -> Floats:
    """A patch's outputs `(K, X, Y, Z)` as the description of their layers has them; `raw` is not kept."""
    values, first = np.asarray(raw, np.float32), 0
    outputs = np.empty(values.shape, np.float32)
    for layer in description.outputs:
        part = slice(first, first + len(layer.channels))
        outputs[part] = _finished_layer(values[part], layer)
        first = part.stop
    return outputs


def _finished_layer(values: Floats, layer: OutputLayer) -> Floats:
    if layer.activation == "sigmoid":
        with np.errstate(over="ignore"):  # exp of a large number is infinite, and its inverse 0, as it should be
            values = np.reciprocal(np.exp(-values) + np.float32(1))
    elif layer.activation == "softmax":
        grown = np.exp(values - values.max(axis=0))
        values = grown / grown.sum(axis=0)
    if layer.targets is not None:
        low, high = (np.float32(target) for target in layer.targets)
        values = (values - low) / (high - low)
    clipped: Floats = np.clip(values, *layer.range)
    return clipped
