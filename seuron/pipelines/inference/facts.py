"""What an inference run needs to know of its input, and the type of its runs."""

from __future__ import annotations

from dataclasses import dataclass

from seuron.engine.pipeline import Facts
from seuron.engine.run import Run
from seuron.pipelines.inference.params import InferenceParams
from seuron.pipelines.stages.predict.facts import PredictionFacts


@dataclass(frozen=True)
class InferenceFacts(Facts):
    """What a run needs to know of its input.

    `scales` is how many scales the pyramid of each layer has; `prediction` is how the net is run, None while that is
    not known. `shard_above` is that of the layers that the run writes, 0 where none of them has shards.
    """

    scales: int
    prediction: PredictionFacts | None = None
    shard_above: int = 0


InferenceRun = Run[InferenceParams, InferenceFacts]
