"""The affinities that a run works on, in one convention, whatever tool they are from.

A voxel's channels 0, 1, 2 are the affinities of the edges to the voxel before it along x, y, z, from 0 (a boundary) to
1 (one object). `affinity_channels`, `affinity_edges` and `affinity_values` say how a map that was given differs from
that. The three change which number stands where and nothing else: a map that is written down in another convention, and
named so, gives the same bytes. Edges that leave the run's box have no voxel behind them, and are never read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box, Triple, triple
from seuron.pipelines.segmentation.facts import SegmentationRun
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.volumes import Volume

#: How far below 0 or above 1 a float32 affinity may lie: sums of blended patches and changes of type are rounded.
ROUNDING = 1e-3


def convention(params: SegmentationParams) -> dict[str, str]:
    """What differs from the convention above, by the name of its parameter."""
    names = ("affinity_channels", "affinity_edges", "affinity_values")
    chosen = {name: str(getattr(params, name)) for name in names}
    return {name: value for name, value in chosen.items() if value != SegmentationParams.model_fields[name].default}


def voxels_read(params: SegmentationParams, box: Box, whole: Box) -> Box:
    """The voxels of the map that the affinities of `box` stand at; `whole` is the run's box."""
    before = (1, 1, 1) if params.affinity_edges == "forward" else (0, 0, 0)
    return box.grown(before, (0, 0, 0)).intersect(whole)


def read_affinities(run: SegmentationRun, volume: Volume, box: Box) -> NDArray[Any]:
    """The affinities of a box, (X, Y, Z, 3), uint8 or float32 in Fortran order.

    Values that a rounding took out of 0 to 1 (`ROUNDING`) are 0 or 1; what lies farther out stays, and so does NaN, for
    the watershed to refuse. A block that reads as zeros, because the run lets it, has no edges in any convention.
    """
    params = run.params
    seen = voxels_read(params, box, run.facts.box)
    stored = volume.read(seen, missing=params.missing_blocks)
    if params.affinity_values == "boundaries":
        stored = _inverted(stored)
        if params.missing_blocks == "zero":
            for block in volume.missing_blocks(seen):
                stored[block.intersect(seen).within(seen)] = 0
    return _clipped(_in_place(params, stored, seen, box))


def stored_at(params: SegmentationParams, voxel: Triple, channel: int) -> tuple[Triple, int]:
    """Where in the map the affinity of a voxel and axis stands: the voxel and the channel."""
    back = 1 if params.affinity_edges == "forward" else 0
    place = triple([at - back * (axis == channel) for axis, at in enumerate(voxel)])
    return place, params.affinity_channels.index("xyz"[channel])


def _inverted(stored: NDArray[Any]) -> NDArray[Any]:
    one = 255 if stored.dtype == np.uint8 else 1
    inverted: NDArray[Any] = np.subtract(one, stored, dtype=stored.dtype)
    return inverted


def _in_place(params: SegmentationParams, stored: NDArray[Any], seen: Box, box: Box) -> NDArray[Any]:
    """The stored values of `seen` as those of `box`: each at the voxel and in the channel of its edge."""
    if params.affinity_channels == "xyz" and seen == box and params.affinity_edges == "backward":
        return stored
    found = np.zeros((*box.shape, stored.shape[3]), stored.dtype, order="F")
    for axis in range(3):
        channel = params.affinity_channels.index("xyz"[axis])
        step = triple([int(params.affinity_edges == "forward" and other == axis) for other in range(3)])
        written = seen.shifted(step).intersect(box)
        read = written.shifted([-s for s in step])
        found[(*written.within(box), axis)] = stored[(*read.within(seen), channel)]
    return found


def _clipped(affinities: NDArray[Any]) -> NDArray[Any]:
    if affinities.dtype == np.uint8 or not affinities.size or (affinities.min() >= 0 and affinities.max() <= 1):
        return affinities
    for bound, wrong in (
        (0, (affinities < 0) & (affinities >= -ROUNDING)),
        (1, (affinities > 1) & (affinities <= 1 + ROUNDING)),
    ):
        affinities[wrong] = bound
    return affinities
