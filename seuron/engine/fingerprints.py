"""The fingerprints of a run's inputs, as they were when the run was prepared, in its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from seuron.box import Box, Triple
from seuron.errors import RunError
from seuron.storage import Storage, cloud_path
from seuron.storage.documents import read_if_whole
from seuron.storage.tables import read_table, write_table
from seuron.volumes import open_volume
from seuron.volumes.fingerprints import Fingerprints, fingerprints_of

if TYPE_CHECKING:
    from seuron.engine.run import Run


def read_fingerprints(run: Run) -> dict[str, Fingerprints]:
    """The fingerprints of all blocks that a run's tasks see of its inputs, by the parameter that names the input."""
    seen: dict[str, Box] = {}
    for tier in run.plan.tiers():
        stage = run.pipeline.stage(tier.stage)
        for task in tier.ends():
            for name, box in stage.sources(run, task).items():
                seen[name] = box.hull(seen.get(name, box))
    sources = {name: source for name, source in run.sources.items() if name in seen}
    return {
        name: fingerprints_of(open_volume(cloud_path(source.path), source.mip), seen[name])
        for name, source in sources.items()
    }


def save_fingerprints(storage: Storage, found: Mapping[str, Fingerprints]) -> None:
    """Keep fingerprints in a run's folder, to know later what has changed."""
    for name, blocks in found.items():
        write_table(storage, f"inputs/{name}", {"fingerprint": blocks.values.ravel(order="F")})
    about = {name: {**_about(blocks), "shape": blocks.values.shape} for name, blocks in found.items()}
    storage.put("inputs/inputs.json", json.dumps(about, indent=1).encode())


def _about(blocks: Fingerprints) -> dict[str, Any]:
    return {field.name: getattr(blocks, field.name) for field in fields(blocks) if field.name != "values"}


def load_fingerprints(storage: Storage) -> dict[str, Fingerprints]:
    """The fingerprints that `save_fingerprints` kept; those that are damaged are left out: a start writes all again."""
    found = dict[str, Fingerprints]()
    for name, saved in (read_if_whole(storage, "inputs/inputs.json", dict[str, _Saved]) or {}).items():
        with suppress(RunError, KeyError, ValueError):
            found[name] = _loaded(storage, name, saved)
    return found


@dataclass(frozen=True)
class _Saved:
    """What is kept of an input's fingerprints beside their values (`Fingerprints`); `shape` is that of the values."""

    path: str
    form: str
    origin: Triple
    block: Triple
    first: Triple
    shape: Triple


def _loaded(storage: Storage, name: str, saved: _Saved) -> Fingerprints:
    values = read_table(storage, f"inputs/{name}")["fingerprint"].reshape(saved.shape, order="F")
    return Fingerprints(saved.path, saved.form, saved.origin, saved.block, saved.first, values)
