"""How large the segments are: counted from the layer itself, at a scale that fits in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seuron.box import Box
from seuron.evaluation import ContingencyTable, contingency, merge
from seuron.volumes import Volume, open_volume

#: Voxels that are counted at most: 5 s of work and 2 GB of reading at the very worst.
COUNTED_VOXELS = 100_000_000
CELL = (256, 256, 256)


@dataclass(frozen=True)
class Bin:
    """Segments of `low` <= voxels < `high` (of the finest scale): how many, and their share of all labelled voxels."""

    low: int
    high: int
    segments: int
    share: float


@dataclass(frozen=True)
class Sizes:
    """The sizes of all segments, background left out, in voxels of the finest scale.

    Where `scale` is above 0 they are estimates: smaller segments may be missing. `ids` and `voxels`
    are sorted by size, largest first.
    """

    ids: NDArray[np.uint64]
    voxels: NDArray[np.int64]
    background: int
    scale: int

    @property
    def total(self) -> int:
        return int(self.voxels.sum())

    def bins(self) -> list[Bin]:
        """Bins of 1-2-5 steps from the smallest segment to the largest, empty ones between included."""
        if not len(self.voxels):
            return []
        steps = np.array([step * 10**decade for decade in range(18) for step in (1, 2, 5)], np.int64)
        place = np.searchsorted(steps, self.voxels, side="right") - 1
        found = []
        for index in range(int(place.min()), int(place.max()) + 1):
            mine = self.voxels[place == index]
            found.append(Bin(int(steps[index]), int(steps[index + 1]), len(mine), float(mine.sum()) / self.total))
        return found


def segment_sizes(layer: Volume, limit: int = COUNTED_VOXELS) -> Sizes:
    """Count voxels by segment at the finest scale of at most `limit` voxels; blocks not stored are background."""
    scale = next(
        (mip for mip in range(layer.scales) if open_volume(layer.path, mip).box.voxels <= limit), layer.scales - 1
    )
    volume, fine = open_volume(layer.path, scale), open_volume(layer.path)
    table = merge(_count(volume, cell) for _, cell in volume.box.cells(CELL))
    cell_voxels = round(float(np.prod(np.divide(volume.resolution_nm, fine.resolution_nm))))
    voxels = table.voxels * cell_voxels
    labelled = table.segments != 0
    ids, voxels_of = table.segments[labelled], voxels[labelled]
    order = np.lexsort((ids, -voxels_of))
    return Sizes(ids[order], voxels_of[order], int(voxels[~labelled].sum()), scale)


def _count(volume: Volume, cell: Box) -> ContingencyTable:
    labels = volume.read(cell, missing="zero")
    return contingency(labels, np.zeros_like(labels))  # against nothing: the counts of the ids themselves
