"""The nets that come with seuron, by name. Loads no torch."""

from __future__ import annotations

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"


def shipped_models() -> list[str]:
    """The names that a run's `model` may have."""
    return sorted(path.stem for path in WEIGHTS.glob("*.npz"))


def model_path(model: str) -> Path | None:
    """The weights of a shipped net, or the file that `model` is the path of; None for neither."""
    if model in shipped_models():
        return WEIGHTS / f"{model}.npz"
    return Path(model) if Path(model).is_file() else None
