"""Any file or folder that holds a net, opened: what it is, and where its weights are. Loads no torch.

NAME                     a net that comes with seuron, or one in the models folder
FILE.safetensors, .npz   seuron's own
FILE.onnx, FILE.pt       ONNX or TorchScript, with FILE.toml beside it
FOLDER, FILE.zip         a BioImage Model Zoo package
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from seuron.errors import NotFoundError, PermanentError, SeuronError, did_you_mean
from seuron.nets.models import plain_files
from seuron.nets.models.bioimage import is_package, read_package
from seuron.nets.models.description import ModelDescription
from seuron.nets.models.own_format import read_own
from seuron.nets.models.shipped import WEIGHTS, shipped_models

ModelFormat = Literal["own", "onnx", "torchscript"]

MODELS_VARIABLE, HOME_VARIABLE = "SEURON_MODELS", "SEURON_HOME"
_OWN_ENDINGS = (".npz", ".safetensors")


@dataclass(frozen=True)
class ModelFile:
    """A net that was found, read as far as it says what it is.

    Attributes:
        path: the file or folder that was named.
        format: which reader its weights need.
        description: with the digest of all files that the net is made of.
        read_weights: the content of the file of weights, checked as far as its format allows.
        needs_torch: whether its network has no counterpart in other libraries.
    """

    path: Path
    format: ModelFormat
    description: ModelDescription
    read_weights: Callable[[], bytes] = field(repr=False, compare=False)
    needs_torch: bool = False


def models_folder() -> Path:
    """Where nets of others are kept: $SEURON_MODELS, else `models` in the state folder."""
    named = os.environ.get(MODELS_VARIABLE)
    if named:
        return Path(named).expanduser()
    home = os.environ.get(HOME_VARIABLE)
    return (Path(home).expanduser() if home else Path(__file__).parents[3] / ".seuron") / "models"


def open_model(model: str | Path) -> ModelFile:
    """The net of a name or path.

    Raises:
        NotFoundError: there is none.
        PermanentError: it cannot be read, or is not described well enough to be run.
    """
    path = model_path(str(model))
    if path is None:
        known = [*shipped_models(), *(found.stem for found in kept_models())]
        hint = did_you_mean(str(model), known, f"known here are {', '.join(known)}")
        raise NotFoundError(
            f"no net is called {str(model)!r}; give the path of a net, or a name: {hint}. "
            "`seuron models list` shows what can be fetched"
        )
    if is_package(path):
        package = read_package(path)
        kind: ModelFormat = "onnx" if package.kind == "onnx" else "torchscript"
        return ModelFile(path, kind, package.description, lambda: _checked(kind, package.weights(), str(path)))
    if path.suffix in _OWN_ENDINGS:
        own = read_own(path, header_only=path.suffix == ".safetensors")
        described = _with_digest(own.description, [path])
        return ModelFile(path, "own", described, path.read_bytes, own.network.get("statistics") == "batch")
    if path.suffix in plain_files.endings():
        kind = "onnx" if path.suffix == plain_files.ONNX_ENDING else "torchscript"
        described = plain_files.description_beside(path)
        described = _with_digest(described, [path, path.with_suffix(".toml")])
        return ModelFile(path, kind, described, lambda: _checked(kind, plain_files.bounded_bytes(path), str(path)))
    allowed = ", ".join([*_OWN_ENDINGS, *plain_files.endings()])
    raise PermanentError(
        f"the net {path}: nothing is known of files that end in {path.suffix or 'nothing'}; nets are {allowed}, and "
        "packages of the BioImage Model Zoo (a folder or .zip with rdf.yaml). Pickled weights are not opened"
    )


def describe(model: str | Path) -> ModelDescription:
    """What is known of the net of a name or path; raises what `open_model` raises."""
    return open_model(model).description


def model_path(model: str) -> Path | None:
    """The file or folder of a shipped net, of one in the models folder, or of a path; None where there is none."""
    if model in shipped_models():
        return WEIGHTS / f"{model}.npz"
    if "/" not in model:
        found = next((path for path in kept_models() if model in (path.stem, path.name)), None)
        if found is not None:
            return found
    path = Path(model)
    return path if path.is_file() or is_package(path) else None


def kept_models() -> Iterator[Path]:
    """The nets in the models folder, by name."""
    folder = models_folder()
    if not folder.is_dir():
        return
    endings = {*_OWN_ENDINGS, *plain_files.endings()}
    for path in sorted(folder.iterdir()):
        if not path.name.startswith(".") and (path.suffix in endings or is_package(path)):
            yield path


def known_descriptions() -> list[ModelDescription]:
    """What is known of the nets that may be named here; files in the models folder that are none are left out."""
    found = []
    for model in [*shipped_models(), *map(str, kept_models())]:
        try:
            found.append(describe(model))
        except SeuronError:  # `seuron models list` names it, with the reason
            continue
    return found


def _with_digest(described: ModelDescription, files: list[Path]) -> ModelDescription:
    """The description with the SHA-256 of a file; of several, that of their SHA-256s, one after the other."""
    digests = [hashlib.sha256(plain_files.bounded_bytes(path)).hexdigest() for path in files]
    together = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    return described.model_copy(update={"sha256": together})


def _checked(kind: ModelFormat, content: bytes, what: str) -> bytes:
    if kind == "onnx":
        plain_files.check_onnx(content, what)
    else:
        plain_files.check_torchscript(content, what)
    return content
