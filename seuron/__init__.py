"""seuron: electron-microscope volumes become segmented neurons.

Conventions used everywhere, said once:

* arrays are `(X, Y, Z)` or `(X, Y, Z, C)`, x fastest (Fortran order);
* coordinates are voxels of the layer's own grid unless a name ends in `_nm`;
* a box is half open: `minimum` is inside, `maximum` is not;
* affinity channel `c` at voxel `v` is the affinity between `v` and `v - e_c`.

Importing this package loads neither torch, nor airflow, nor cloud-volume. `seuron.connect()` is a deployment,
whose `run(seuron.SegmentationParams(...))` starts a run, and `seuron.chat("status")` asks the bot in a notebook;
all of them are loaded when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seuron.bot.notebook import chat
    from seuron.client import connect
    from seuron.pipelines.segmentation.params import SegmentationParams

__all__ = ["SegmentationParams", "chat", "connect"]
__version__ = "0.1.0"

_PUBLIC = {
    "chat": "seuron.bot.notebook",
    "connect": "seuron.client",
    "SegmentationParams": "seuron.pipelines.segmentation.params",
}


def __getattr__(name: str) -> object:
    """Load what is public when it is first asked for: every task process imports this package."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'seuron' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)
