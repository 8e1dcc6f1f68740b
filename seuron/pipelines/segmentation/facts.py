"""What a segmentation needs to know of its input, and the type of its runs."""

from __future__ import annotations

from dataclasses import dataclass

from seuron.box import Box
from seuron.engine.pipeline import Facts
from seuron.engine.run import Run
from seuron.pipelines.segmentation.params import SegmentationParams
from seuron.pipelines.stages.predict.facts import PredictionFacts


@dataclass(frozen=True)
class VolumeFacts(Facts):
    """What a run needs to know of its input.

    `box` is what will be segmented, in voxels of scale `mip`; `scales` how many scales the pyramid
    of each output layer has; `prediction` is how the net is run, None where affinities are given.
    `frame` is the box that ids are counted in (None: `box`). `batch_chunks` is how leaves were cut, chosen once
    as well (0: by the size of `box`), so that a run which grows keeps its tasks. `shard_above` is that of the
    layers that the run writes, 0 where none of them has shards. `edits` is the digest of the edit list's content.
    """

    dtype: str
    scales: dict[str, int]
    prediction: PredictionFacts | None = None
    frame: Box | None = None
    batch_chunks: int = 0
    shard_above: int = 0
    edits: str | None = None

    @property
    def id_frame(self) -> Box:
        """The box that ids are counted in; the chunk grid begins at its corner."""
        return self.frame or self.box


SegmentationRun = Run[SegmentationParams, VolumeFacts]


def affinity_dtype(params: SegmentationParams, facts: VolumeFacts) -> str:
    """The type of the affinities: what the run stores, or what it was given."""
    return facts.dtype if params.image is None else params.affinity_dtype
