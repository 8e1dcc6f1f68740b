"""Weights on disk: one `.npz` of plain arrays and a JSON record, no pickle.

The file holds the net as trained (BatchNorm not folded), so training may go on from it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seuron.errors import PermanentError
from seuron.nets.models.own_format import FORMAT, HEADER, read_npz
from seuron.nets.network import BoundaryNet, NetworkConfig

SHIPPED = Path(__file__).parent / "weights" / "boundary-fib25.npz"
"""The weights that come with seuron; its card is the `.md` beside it."""


def save_checkpoint(path: Path, net: BoundaryNet, record: dict[str, Any]) -> None:
    """Write the net and how it was made, whole or not at all.

    Args:
        path: ends in `.npz`.
        net: not folded.
        record: JSON-ready; what made the net.

    Raises:
        PermanentError: the path does not end in `.npz`, or the net is folded.
    """
    if path.suffix != ".npz":
        raise PermanentError(f"weights {path}: weights are written as .npz; change the file's ending")
    state = net.state_dict()
    if net.config.norm == "batch" and not any("running_mean" in name for name in state):
        raise PermanentError(f"weights {path}: the net is folded already; save it before fold_norms")
    header = {"format": FORMAT, "network": net.config.as_dict(), "record": record}
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}
    arrays[HEADER] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.npz")
    np.savez_compressed(part, allow_pickle=False, **arrays)
    part.replace(path)


def load_checkpoint(path: Path) -> tuple[BoundaryNet, dict[str, Any]]:
    """The net in eval mode, not folded, and the record it was saved with.

    Raises:
        PermanentError: there is no such file, or it is not one of seuron's weights.
    """
    header, arrays = read_npz(path)
    try:
        net = BoundaryNet(NetworkConfig.from_dict(header["network"]))
        net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise PermanentError(f"weights {path}: the arrays do not fit the network they name: {error}") from error
    return net.eval(), header.get("record", {})
