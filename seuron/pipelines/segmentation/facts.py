"""What a segmentation needs to know of its input, and the type of its runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seuron.box import Box, Triple
from seuron.engine.pipeline import Facts
from seuron.engine.run import Run
from seuron.pipelines.segmentation.params import SegmentationParams


@dataclass(frozen=True)
class VolumeFacts(Facts):
    """What a run needs to know of its input.

    `box` is what will be segmented, in voxels of scale `mip`; `scales` how many scales the pyramid
    of each output layer has; `net` is the digest of the net's weights, empty where there is none.
    `precision`, `grey_mean` and `grey_std` are how the net is run, chosen once for all tasks.
    `frame` is the box that ids are counted in (None: `box`), `source_box` that of the whole input
    (None: `box`). `batch_chunks` and `cell` are how leaves and the net's boxes were cut, chosen once
    as well (0 and None: by the size of `box`), so that a run which grows keeps its tasks. `shard_above` is that of the
    layers that the run writes, 0 where none of them has shards.
    """

    dtype: str
    scales: dict[str, int]
    net: str
    precision: Literal["bf16", "fp32"] = "fp32"
    grey_mean: float = 0.0
    grey_std: float = 1.0
    frame: Box | None = None
    source_box: Box | None = None
    batch_chunks: int = 0
    cell: Triple | None = None
    shard_above: int = 0

    @property
    def id_frame(self) -> Box:
        """The box that ids are counted in; the chunk grid begins at its corner."""
        return self.frame or self.box


SegmentationRun = Run[SegmentationParams, VolumeFacts]


def affinity_dtype(params: SegmentationParams, facts: VolumeFacts) -> str:
    """The type of the affinities: what the run stores, or what it was given."""
    return facts.dtype if params.image is None else params.affinity_dtype
