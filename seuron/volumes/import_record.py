"""What an import was made from, kept in the layer's folder: so that an interrupted one is continued by the same only.

The file is called `provenance` and has the layout that cloud-volume gives to it, which shows it for precomputed layers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seuron.storage import Storage, local_folder
from seuron.storage.digests import digest_of_data

#: Where the record lies in a layer of each format. Zarr's libraries warn of files in a group that are none of theirs.
NAMES = {"precomputed": "provenance", "ome-zarr": "0/provenance"}
TASK = "seuron import"
#: Files that say that a folder holds a layer already.
LAYER_FILES = ("info", "zarr.json", ".zgroup", ".zarray", "attributes.json")


def destination_problem(storage: Storage, facts: Mapping[str, Any]) -> str | None:
    """Why an import may not write into a folder: another one was begun there, or a layer lies there that none has made.

    `facts` are all that the import's result depends on, as JSON has it; what differs is named. None where the folder is
    free, or holds the same import, finished or not.
    """
    recorded, wanted = recorded_import(storage), json.loads(json.dumps(facts))
    if recorded is None:
        found = next((name for name in LAYER_FILES if storage.get(name) is not None), None)
        return found and (
            f"{storage.path} already holds another layer (its `{found}`), which no import has made; "
            "give another folder, or delete that one first"
        )
    differing = [name for name in sorted({*recorded, *wanted}) if recorded.get(name) != wanted.get(name)]
    if not differing:
        return None
    named = "; ".join(f"`{n}` was {recorded.get(n)}, now {wanted.get(n)}" for n in differing)
    return (
        f"{storage.path} already holds another layer, of another import: {named}. "
        "Give the same again to continue that one, give another folder, or delete that one first"
    )


def recorded_import(storage: Storage) -> dict[str, Any] | None:
    """What the import was made from that a layer's folder records; None where there is no import's record."""
    content = next((found for name in NAMES.values() if (found := storage.get(name)) is not None), None)
    if content is None:
        return None
    try:
        steps: list[dict[str, Any]] = json.loads(content)["processing"]
        return next((step["method"]["facts"] for step in steps if step["method"].get("task") == TASK), None)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # another tool's, or damaged: as if there were none


def record_import(storage: Storage, facts: Mapping[str, Any]) -> None:
    """Write down what the layer in a folder is made from."""
    step = {"method": {"task": TASK, "facts": facts}, "by": "", "date": ""}
    record = {"description": "", "owners": [], "processing": [step], "sources": [facts["source"]]}
    storage.put(NAMES[facts["layer_format"]], json.dumps(record, indent=1, sort_keys=True).encode())


def source_path(source: str) -> Path | None:
    """Where a source lies on this machine: `file.h5:dataset` in `file.h5`; None in an object store."""
    folder = local_folder(source)
    if folder is None or folder.exists():
        return folder
    return local_folder(source.rpartition(":")[0] or source)


def source_version(source: str, files: Sequence[str]) -> str:
    """A digest of name, size and time of the files that a source is read from; nothing of them is read.

    Of a folder that is an array by itself (Zarr, N5) the files directly in it count. What lies in an object store has
    no version here.
    """
    place = source_path(source)
    if place is None:
        return ""
    named = [Path(name) for name in files] or [place]
    found = [each for name in named for each in (sorted(name.iterdir()) if name.is_dir() else [name])]
    return digest_of_data([[each.name, *_state(each)] for each in found if each.is_file()])


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
