"""The nets that come with seuron, by name, and what they were trained on. Loads no torch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

WEIGHTS = Path(__file__).parent / "weights"

#: Voxels, in nm, that shipped nets were trained on; the records of later ones say it themselves.
SHIPPED_RESOLUTIONS = {"boundary-fib25": (10.0, 10.0, 10.0)}
#: The array of a weights file that holds its JSON record.
HEADER = "header"


def shipped_models() -> list[str]:
    """The names that a run's `model` may have."""
    return sorted(path.stem for path in WEIGHTS.glob("*.npz"))


def model_path(model: str) -> Path | None:
    """The weights of a shipped net, or the file that `model` is the path of; None for neither."""
    if model in shipped_models():
        return WEIGHTS / f"{model}.npz"
    return Path(model) if Path(model).is_file() else None


def trained_resolutions(path: Path) -> list[tuple[float, float, float]]:
    """The voxel sizes, in nm, of the volumes that a net was trained on; none where its weights file does not say.

    The file must be one that `load_checkpoint` reads.
    """
    if path.parent == WEIGHTS and path.stem in SHIPPED_RESOLUTIONS:
        return [SHIPPED_RESOLUTIONS[path.stem]]
    with np.load(path, allow_pickle=False) as file:
        record = json.loads(file[HEADER].tobytes())["record"]
    recipe = record.get("recipe") if isinstance(record, dict) else None
    known = recipe.get("resolutions_nm", []) if isinstance(recipe, dict) else []
    return [(float(x), float(y), float(z)) for x, y, z in known]
