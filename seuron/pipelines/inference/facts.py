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
    not known.
    """

    scales: int
    prediction: PredictionFacts | None = None


InferenceRun = Run[InferenceParams, InferenceFacts]
