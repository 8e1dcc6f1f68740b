"""Public nets come into the models folder: fetched or from a file, their digest checked first, whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from seuron.errors import NotFoundError, PermanentError, UnreachableError, did_you_mean
from seuron.nets.models.known import KnownModel, known_models
from seuron.nets.models.model_file import models_folder
from seuron.nets.models.own_format import Arrays, Weights, write_own
from seuron.nets.models.plain_files import bounded_bytes

#: Seconds without a byte after which a server counts as gone.
PATIENCE = 30.0

Fetch = Callable[[str, int], bytes]


def get_model(name: str, source: Path | None = None, fetch: Fetch | None = None) -> Path:
    """Put a known net into the models folder, and say where it is; one that is there is made again.

    Args:
        name: of the table.
        source: the authors' file, where it is here already.
        fetch: gives the bytes of an address, at most so many; httpx by default.

    Raises:
        NotFoundError: the table has no such net.
        UnreachableError: the address does not answer.
        PermanentError: what was found is another file than the table names.
    """
    table = known_models()
    if name not in table:
        raise NotFoundError(
            f"no public net is called {name!r}; {did_you_mean(name, table, 'known are ' + ', '.join(table))}"
        )
    known = table[name]
    content = bounded_bytes(source) if source is not None else (fetch or fetched)(known.address, known.bytes)
    digest = hashlib.sha256(content).hexdigest()
    if digest != known.sha256:
        raise PermanentError(
            f"{source or known.address} is not the net {name}: its SHA-256 is {digest}, expected {known.sha256}. "
            "Nothing of it was opened; get the file from " + known.card
        )
    if known.format == "package":
        return _kept(models_folder() / f"{name}.zip", content)
    path = models_folder() / f"{name}.safetensors"
    write_own(path, _converted(known, content))
    return path


def fetched(address: str, most: int) -> bytes:
    """The content of an address; raises UnreachableError, and PermanentError for more than `most` bytes."""
    import httpx

    content = bytearray()
    try:
        with httpx.stream("GET", address, follow_redirects=True, timeout=PATIENCE) as answer:
            answer.raise_for_status()
            for part in answer.iter_bytes():
                content += part
                if len(content) > most:
                    raise PermanentError(f"{address}: more than the {most} bytes that the net has; nothing was kept")
    except httpx.HTTPError as error:
        raise UnreachableError(
            f"{address} does not answer ({error or type(error).__name__}); try again, or fetch the file yourself and "
            "give it with --from FILE"
        ) from error
    return bytes(content)


def _kept(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.partial")
    part.write_bytes(content)
    part.replace(path)
    return path


def _converted(known: KnownModel, content: bytes) -> Weights:
    """The weights of a state dict, whose digest has been checked, in seuron's own form."""
    from seuron.nets.architectures import filled

    assert known.description is not None, "the table describes each state dict"
    arrays = read_state_dict(content, known.address)
    if known.network.get("statistics") == "batch":
        arrays = {name: array for name, array in arrays.items() if ".running_" not in name}
    record = {"address": known.address, "sha256": known.sha256, "card": known.card}
    weights = Weights(known.description, known.network, arrays, record)
    filled(weights, known.address)  # that they fill the network is found here, not in a run
    return weights


def read_state_dict(content: bytes, what: str) -> Arrays:
    """The tensors of a state dict that torch saved: nothing else than tensors is unpickled.

    Raises:
        PermanentError: it holds anything else, or cannot be read.
    """
    import pickle

    import torch

    try:
        found = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise PermanentError(f"{what}: no state dict of tensors ({reason}); nothing of it was run") from error
    if not isinstance(found, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in found.values()):
        raise PermanentError(f"{what}: a {type(found).__name__} with other things than tensors; give a state dict")
    return {str(name): tensor.float().numpy() for name, tensor in found.items()}
