"""Boundary nets on disk, as modules of torch.

The file holds the net as trained (BatchNorm not folded), so training may go on from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seuron.errors import PermanentError
from seuron.nets.architectures import filled
from seuron.nets.models.own_format import Weights, boundary_description, read_own, write_own
from seuron.nets.models.shipped import WEIGHTS
from seuron.nets.network import BoundaryNet

SHIPPED = WEIGHTS / "boundary-fib25.npz"
"""The weights that come with seuron; its card is the `.md` beside it."""


def save_checkpoint(path: Path, net: BoundaryNet, record: dict[str, Any]) -> None:
    """Write the net and how it was made, whole or not at all.

    Args:
        path: ends in `.safetensors`.
        net: not folded.
        record: JSON-ready; what made the net. The voxel sizes are those of `recipe.resolutions_nm` in it.

    Raises:
        PermanentError: the path has another ending, the net is folded, or a weight is not finite.
    """
    state = net.state_dict()
    if net.config.norm == "batch" and not any("running_mean" in name for name in state):
        raise PermanentError(f"weights {path}: the net is folded already; save it before fold_norms")
    recipe = record.get("recipe", {})
    known = [(float(x), float(y), float(z)) for x, y, z in recipe.get("resolutions_nm", [])]
    described = boundary_description(path.stem, len(net.config.widths), known, flat_levels=net.config.flat_levels)
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}
    write_own(path, Weights(described, {"kind": "boundary", **net.config.as_dict()}, arrays, record))


def load_checkpoint(path: Path) -> tuple[BoundaryNet, dict[str, Any]]:
    """The net in eval mode, not folded, and the record it was saved with.

    Raises:
        PermanentError: there is no such file, it is not one of seuron's weights, or it holds another kind of net.
    """
    weights = read_own(path)
    net = filled(weights, str(path))
    if not isinstance(net, BoundaryNet):
        raise PermanentError(f"weights {path}: a net of kind {weights.network.get('kind')!r}; give a boundary net")
    return net, dict(weights.record)
