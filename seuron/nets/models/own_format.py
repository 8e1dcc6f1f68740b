"""Seuron's own files of weights: `.npz` of plain arrays and a JSON header, no pickle. Loads no torch."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.errors import PermanentError
from seuron.nets.models.description import Channel, ModelDescription, OutputLayer, PatchShapes
from seuron.nets.models.shipped import SHIPPED_LICENCES, SHIPPED_RESOLUTIONS, WEIGHTS

FORMAT = "seuron-boundary-net-1"
#: The array of an `.npz` that holds its JSON header.
HEADER = "header"


def read_npz(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header and the arrays of an `.npz` of seuron's; raises PermanentError for any other file."""
    try:
        if not zipfile.is_zipfile(path):  # numpy would take it for a pickle, and say so
            raise ValueError("it is no .npz file")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(arrays.pop(HEADER).tobytes())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise PermanentError(
            f"weights {path}: cannot be read ({error}); give a .npz that `seuron train` wrote"
        ) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        found = header.get("format") if isinstance(header, dict) else None
        raise PermanentError(f"weights {path}: format {found!r}; this version reads {FORMAT!r}")
    return header, arrays


def describe_npz(path: Path, header: dict[str, Any]) -> ModelDescription:
    """What the header of a boundary net says; the margin of its targets and its patches follow from its kind."""
    try:
        levels = len(header["network"]["widths"])
    except (KeyError, TypeError) as error:
        raise PermanentError(f"weights {path}: the header names no network; train the net again") from error
    step = 2 ** (levels - 1)
    side = -(-96 // step) * step
    channels = [Channel(name=f"affinity-{axis}", offset=_before(axis)) for axis in "xyz"]
    affinities = OutputLayer(name="affinities", channels=tuple(channels), activation="sigmoid", targets=(0.1, 0.9))
    return ModelDescription(
        name=path.stem,
        description="affinities of each voxel with the one before it along x, y and z",
        licence=SHIPPED_LICENCES.get(path.stem, "") if path.parent == WEIGHTS else "",
        resolutions_nm=tuple(_resolutions(path, header)),
        patch=PatchShapes(default=(side, side, side), granularity=(step, step, step), minimum=(step, step, step)),
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
