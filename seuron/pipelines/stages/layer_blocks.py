"""What the layers of a run are written in: storage blocks, or shards of several where there would be too many files."""

from __future__ import annotations

from math import prod
from typing import Any

from seuron.box import Box, Triple, triple
from seuron.engine.run import Run


def whole_blocks(size: Triple, block: Triple) -> Triple:
    """A size, rounded up to whole storage blocks."""
    return triple([-(-s // b) * b for s, b in zip(size, block, strict=True)])


def write_unit(block_size: Triple, box: Box, shard_above: int) -> Triple:
    """What is written whole of the layers of a run of this box: a storage block, or a shard of several."""
    if not shard_above:
        return block_size
    from seuron.volumes.layouts import planned_block  # few runs are that large

    return planned_block(box, block_size, shard_above)


def shard_above(block_size: Triple, wanted: int, box: Box, before: Run[Any, Any] | None) -> int:
    """Above how many blocks a scale has shards, 0 where none of a run's has; decided at the first start."""
    if before is not None:
        kept: int = before.facts.shard_above
        return kept
    if not wanted or prod(box.grid_shape(block_size)) <= wanted:
        return 0
    from seuron.volumes.layouts import shard_bits

    return wanted if shard_bits(box.grid_shape(block_size), block_size, wanted) else 0


def growth_problems(before: Run[Any, Any], run: Run[Any, Any]) -> list[str]:
    """What keeps the files of layers from having their places in those of a larger box."""
    old, new = before.facts.box, run.facts.box
    if old == new:
        return []
    if before.facts.shard_above:
        return [
            f"`bbox`: the layers in {run.output} are stored in shards, which are cut by the box {old}, now {new}; "
            "a run with shards cannot grow. Choose a new folder, or give `shard_above=0` from the start"
        ]
    if before.params.layer_format == "ome-zarr" and old.minimum != new.minimum:
        return [
            f"`bbox`: the layers in {run.output} are OME-Zarr, whose blocks are counted from the corner "
            f"{old.minimum}, now {new.minimum}; such a run may grow at its upper faces only. Choose a new folder"
        ]
    return []
