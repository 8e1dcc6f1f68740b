"""Any file or folder that holds a net, opened: what it is, and where its weights are. Loads no torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seuron.errors import NotFoundError
from seuron.nets.models.description import ModelDescription
from seuron.nets.models.own_format import describe_npz, read_npz
from seuron.nets.models.shipped import WEIGHTS, shipped_models

ModelFormat = Literal["npz"]


@dataclass(frozen=True)
class ModelFile:
    """A net that was found, read as far as it says what it is.

    Attributes:
        path: the file or folder that was named.
        format: which reader its weights need.
        description: with the digest of all files that the net is made of.
    """

    path: Path
    format: ModelFormat
    description: ModelDescription


def open_model(model: str | Path) -> ModelFile:
    """The net of a name or path.

    Raises:
        NotFoundError: there is none.
        PermanentError: it cannot be read, or is not described well enough to be run.
    """
    path = model_path(str(model))
    if path is None:
        known = ", ".join(shipped_models())
        raise NotFoundError(f"no net is called {str(model)!r}; give the path of a net, or one of {known}")
    header, _ = read_npz(path)
    described = describe_npz(path, header)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ModelFile(path, "npz", described.model_copy(update={"sha256": digest}))


def describe(model: str | Path) -> ModelDescription:
    """What is known of the net of a name or path; raises what `open_model` raises."""
    return open_model(model).description


def model_path(model: str) -> Path | None:
    """The weights of a shipped net, or the file that `model` is the path of; None for neither."""
    if model in shipped_models():
        return WEIGHTS / f"{model}.npz"
    return Path(model) if Path(model).is_file() else None


def trained_resolutions(path: Path) -> list[tuple[float, float, float]]:
    """The voxel sizes, in nm, of the volumes that a net was trained on; none where its weights file does not say."""
    return list(open_model(path).description.resolutions_nm)
