"""Seuron's own files: arrays and a JSON header that says what they are, as safetensors; no pickle. Loads no torch.

The header of a `.safetensors` holds, under `seuron`, the format's name, the network that the arrays fill, the model's
description, and a record of how it was made. The `.npz` that earlier versions wrote is read as well.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.errors import PermanentError
from seuron.nets.models.description import Channel, ModelDescription, OutputLayer, PatchShapes
from seuron.nets.models.shipped import SHIPPED_LICENCES, SHIPPED_RESOLUTIONS, WEIGHTS
from seuron.params.typed_file import parse_typed

FORMAT, EARLIER_FORMAT = "seuron-net-1", "seuron-boundary-net-1"
#: The array of an `.npz`, and the entry of a `.safetensors`, that holds the JSON header.
HEADER, ENTRY = "header", "seuron"
#: Bytes of a safetensors header: ours have some tens of thousands.
LONGEST_HEADER = 2**22

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Weights:
    """The content of one of seuron's own files.

    Attributes:
        description: without the file's digest.
        network: what `seuron.nets.architectures.build` makes the module of; JSON.
        arrays: the module's state; empty where only the header was read.
        record: how it was made; JSON.
    """

    description: ModelDescription
    network: Mapping[str, Any]
    arrays: Arrays = field(repr=False)
    record: Mapping[str, Any]


def read_own(path: Path, *, header_only: bool = False) -> Weights:
    """A file of seuron's; raises PermanentError for any other."""
    if path.suffix == ".npz":
        return _read_npz(path)
    header, arrays = _read_safetensors(path, header_only)
    try:
        described, network, record = header["description"], header["network"], header.get("record", {})
        fields = {**described, "sha256": ""}
    except (KeyError, TypeError) as error:
        raise PermanentError(f"weights {path}: the header has no {error}; {_REMEDY}") from error
    return Weights(parse_typed(ModelDescription, fields, f"the header of {path}"), network, arrays, record)


_REMEDY = "give a file that `seuron train` or `seuron models get` wrote"


def write_own(path: Path, weights: Weights) -> None:
    """Write a file, whole or not at all.

    Raises:
        PermanentError: the path does not end in `.safetensors`, or a weight is NaN or infinite.
    """
    from safetensors.numpy import save

    if path.suffix != ".safetensors":
        raise PermanentError(f"weights {path}: weights are written as .safetensors; change the file's ending")
    check_finite(weights.arrays, str(path))
    header = {
        "format": FORMAT,
        "network": dict(weights.network),
        "description": weights.description.model_dump(mode="json", exclude={"sha256"}),
        "record": dict(weights.record),
    }
    plain = {name: np.ascontiguousarray(array) for name, array in weights.arrays.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.partial")
    part.write_bytes(save(plain, {ENTRY: json.dumps(header, sort_keys=True)}))
    part.replace(path)


def check_finite(arrays: Mapping[str, NDArray[Any]], what: str) -> None:
    """Raise PermanentError where a weight is NaN or infinite: all outputs would be."""
    wrong = [name for name, array in arrays.items() if array.dtype.kind == "f" and not np.isfinite(array).all()]
    if wrong:
        raise PermanentError(
            f"weights {what}: NaN or infinite values in {', '.join(wrong[:5])}"
            + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
            + "; the training diverged or the file is damaged: get it again"
        )


def _read_safetensors(path: Path, header_only: bool) -> tuple[dict[str, Any], Arrays]:
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= LONGEST_HEADER:
            raise ValueError(f"its header would have {length} bytes")
        with safe_open(path, framework="numpy") as opened:
            header = json.loads((opened.metadata() or {})[ENTRY])
            arrays = {} if header_only else {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except KeyError as error:
        raise PermanentError(
            f"weights {path}: a safetensors file without a description of seuron's; {_REMEDY}"
        ) from error
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise PermanentError(f"weights {path}: cannot be read ({error}); {_REMEDY}") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        found = header.get("format") if isinstance(header, dict) else None
        raise PermanentError(f"weights {path}: format {found!r}; this version reads {FORMAT!r}")
    return header, arrays


def _read_npz(path: Path) -> Weights:
    try:
        if not zipfile.is_zipfile(path):  # numpy would take it for a pickle, and say so
            raise ValueError("it is no .npz file")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(arrays.pop(HEADER).tobytes())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise PermanentError(f"weights {path}: cannot be read ({error}); {_REMEDY}") from error
    if not isinstance(header, dict) or header.get("format") != EARLIER_FORMAT:
        found = header.get("format") if isinstance(header, dict) else None
        raise PermanentError(f"weights {path}: format {found!r}; this version reads {EARLIER_FORMAT!r}")
    try:
        network = {"kind": "boundary", **header["network"]}
        described = boundary_description(
            path.stem,
            len(network["widths"]),
            _resolutions(path, header),
            licence=SHIPPED_LICENCES.get(path.stem, "") if path.parent == WEIGHTS else "",
        )
    except (KeyError, TypeError) as error:
        raise PermanentError(f"weights {path}: the header names no network; {_REMEDY}") from error
    return Weights(described, network, arrays, header.get("record", {}))


def boundary_description(
    name: str, levels: int, resolutions_nm: list[tuple[float, float, float]], licence: str = "", flat_levels: int = 0
) -> ModelDescription:
    """What is known of each boundary net of `levels` levels: its targets, its channels and its patches.

    `flat_levels` of the poolings leave z as it is.
    """
    step, flat = 2 ** (levels - 1), 2 ** (levels - 1 - flat_levels)
    side = -(-96 // step) * step
    depth = side if flat == step else -(-32 // flat) * flat
    channels = [Channel(name=f"affinity-{axis}", offset=_before(axis)) for axis in "xyz"]
    affinities = OutputLayer(name="affinities", channels=tuple(channels), activation="sigmoid", targets=(0.1, 0.9))
    return ModelDescription(
        name=name,
        description="affinities of each voxel with the one before it along x, y and z",
        licence=licence,
        resolutions_nm=tuple(resolutions_nm),
        patch=PatchShapes(default=(side, side, depth), granularity=(step, step, flat), minimum=(step, step, flat)),
        outputs=(affinities,),
    )


def _before(axis: str) -> tuple[int, int, int]:
    return (-int(axis == "x"), -int(axis == "y"), -int(axis == "z"))


def _resolutions(path: Path, header: dict[str, Any]) -> list[tuple[float, float, float]]:
    if path.parent == WEIGHTS and path.stem in SHIPPED_RESOLUTIONS:
        return [SHIPPED_RESOLUTIONS[path.stem]]
    record = header.get("record")
    recipe = record.get("recipe") if isinstance(record, dict) else None
    known = recipe.get("resolutions_nm", []) if isinstance(recipe, dict) else []
    return [(float(x), float(y), float(z)) for x, y, z in known]
