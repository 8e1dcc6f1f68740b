"""What a run's inputs hold: by the marks of their files when it is prepared, by content when a task reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, Literal

import numpy as np

from seuron.box import Box, triple
from seuron.engine.keys import SOURCE_STAGES, seen_box
from seuron.engine.plan import Plan
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.pipelines.segmentation.plan import VolumeFacts
from seuron.storage import Storage, cloud_path
from seuron.storage.digests import digest_of_array, digest_of_bytes, digest_of_data
from seuron.storage.tables import read_table, write_table
from seuron.volumes import Volume, open_volume
from seuron.volumes.fingerprints import MISSING, SourceBlocks


def read_sources(params: SegmentationParams, facts: VolumeFacts, plan: Plan) -> dict[str, SourceBlocks]:
    """The marks of all blocks that the tasks of a plan read of its inputs, by the parameter that names the input."""
    found = {}
    for name, stage in SOURCE_STAGES.items():
        path = getattr(params, name)
        tasks = plan.stage(stage).tiers[0] if plan.stage(stage).tiers else ()
        if path is not None and tasks:
            seen = [seen_box(task, params, facts) for task in tasks]
            low = np.min([box.minimum for box in seen], axis=0).tolist()
            high = np.max([box.maximum for box in seen], axis=0).tolist()
            found[name] = source_blocks(open_volume(cloud_path(path), params.mip), Box(triple(low), triple(high)))
    return found


def source_blocks(volume: Volume, box: Box) -> SourceBlocks:
    """The marks of the blocks of a volume that meet `box`."""
    whole, size = volume.box, volume.block_size
    indices = box.intersect(whole).grid(size, whole.minimum)
    blocks, storage = volume.blocks(box), Storage(volume.path)
    if volume.is_sharded:  # which file holds a block is the format's secret: all change together
        versions = storage.versions(storage.names(f"{volume.key}/"))
        marks = np.full(len(blocks), _mark(" ".join(str(version) for version in versions)))
    else:
        names = [volume.block_name(block) for block in blocks]
        marks = np.fromiter(map(_mark, storage.versions(names)), np.uint64, len(names))
    return SourceBlocks(
        path=volume.path,
        form=digest_of_data(volume.form),
        origin=whole.minimum,
        block=size,
        first=indices.minimum,
        marks=marks.reshape(indices.shape, order="F"),
    )


def _mark(version: str | None) -> np.uint64:
    """64 bits of a file's version; never `MISSING` for a file that is there."""
    if version is None:
        return np.uint64(MISSING)
    return np.uint64(int(digest_of_bytes([version.encode()])[:16], 16) or 1)


def content_digest(volume: Volume, box: Box, missing: Literal["error", "zero"]) -> str:
    """The digest of the blocks of a volume that meet `box`, by their stored bytes.

    Where a block is missing, what that means (`missing`) is a part of it.
    """
    storage, box = Storage(volume.path), box.intersect(volume.box)
    if volume.is_sharded:
        return digest_of_array(volume.read(box, missing=missing))

    def parts() -> Iterator[bytes]:
        for block in volume.blocks(box):
            content = storage.stored(volume.block_name(block))
            yield f"{block} {missing if content is None else ''}".encode()
            yield content or b""

    form: Any = [volume.form, box.corners]
    return digest_of_bytes([digest_of_data(form).encode(), digest_of_bytes(parts()).encode()])


def save_sources(storage: Storage, sources: Mapping[str, SourceBlocks]) -> None:
    """Keep the marks in a run's folder, to tell later what has changed."""
    for name, blocks in sources.items():
        write_table(storage, f"inputs/{name}", {"mark": blocks.marks.ravel(order="F")})
    about = {name: {**_about(blocks), "shape": blocks.marks.shape} for name, blocks in sources.items()}
    storage.put("inputs/inputs.json", json.dumps(about, indent=1).encode())


def _about(blocks: SourceBlocks) -> dict[str, Any]:
    return {field.name: getattr(blocks, field.name) for field in fields(blocks) if field.name != "marks"}


def load_sources(storage: Storage) -> dict[str, SourceBlocks]:
    """The marks that `save_sources` kept."""
    about = json.loads(storage.get("inputs/inputs.json") or b"{}")
    return {name: _loaded(storage, name, saved) for name, saved in about.items()}


def _loaded(storage: Storage, name: str, saved: dict[str, Any]) -> SourceBlocks:
    marks = read_table(storage, f"inputs/{name}")["mark"].reshape(saved["shape"], order="F")
    corners = {key: triple(saved[key]) for key in ("origin", "block", "first")}
    return SourceBlocks(path=saved["path"], form=saved["form"], marks=marks, **corners)
