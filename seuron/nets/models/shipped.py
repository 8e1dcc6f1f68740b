"""The nets that come with seuron, by name."""

from __future__ import annotations

from pathlib import Path

WEIGHTS = Path(__file__).parents[1] / "weights"

#: Voxels, in nm, that shipped nets were trained on; the records of later ones say it themselves.
SHIPPED_RESOLUTIONS = {"boundary-fib25": (10.0, 10.0, 10.0)}
SHIPPED_LICENCES = {"boundary-fib25": "Apache-2.0; adapted from FIB-25 (CC BY 3.0)"}


def shipped_models() -> list[str]:
    """The names that a run's `model` may have."""
    return sorted(path.stem for path in WEIGHTS.glob("*.npz"))
